package audit

// MarshalJSON returns the event's canonical JSON; see Encode.
func (e Event) MarshalJSON() ([]byte, error) { return Encode(nil, &e), nil }

// UnmarshalJSON reads an event from its JSON as Decoder.Read does, and keeps no memory of data. The error is a *Reject.
func (e *Event) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	var read Event
	if err := NewDecoder().Read(data, nil, &read); err != nil {
		return err
	}
	*e = *read.Clone()
	return nil
}
