package audit

// ActionAlias translates an action name of the first product: the action, and the outcomes that the name stands for (nil: any). Filters compare
// with both; a record's outcome, if it has none, is the first of them.
func ActionAlias(name string) (action string, outcomes []Outcome, ok bool) {
	switch name {
	case "LOGIN":
		return "auth.login", nil, true
	case "LOGOUT":
		return "auth.logout", nil, true
	case "FAILED_LOGIN":
		return "auth.login", []Outcome{OutcomeFailure, OutcomeDenied}, true
	case "CREATE":
		return "record.create", nil, true
	case "UPDATE":
		return "record.update", nil, true
	case "DELETE":
		return "record.delete", nil, true
	case "EXPORT":
		return "data.export", nil, true
	case "API_ACCESS":
		return "api.access", nil, true
	}
	return "", nil, false
}

// translateAlias gives an event that was written with the first product's names those of today.
func (d *Decoder) translateAlias() {
	e := d.e
	if e.Action == "" || e.Action[0] < 'A' || e.Action[0] > 'Z' {
		return
	}
	action, outcomes, ok := ActionAlias(e.Action)
	if !ok {
		return
	}
	e.Action = action
	if len(outcomes) > 0 && !d.hasOutcome {
		e.Outcome = outcomes[0]
		d.hasOutcome = true
	}
}
