package audit

// Category groups actions.
type Category string

// The categories. An event whose action fits none of the known prefixes is CategorySystem.
const (
	CategoryAuth   Category = "auth"
	CategoryData   Category = "data"
	CategoryAccess Category = "access"
	CategoryAdmin  Category = "admin"
	CategorySystem Category = "system"
)

// Outcome says how the action ended. Its numbers are those of the Enum8 in ClickHouse.
type Outcome uint8

// The outcomes.
const (
	OutcomeUnknown Outcome = iota
	OutcomeSuccess
	OutcomeFailure
	OutcomeDenied
	OutcomeError
)

// Severity is how serious the producer rates the event. Its numbers are those of the Enum8 in ClickHouse.
type Severity uint8

// The severities; SeverityInfo is the default.
const (
	SeverityInfo Severity = iota
	SeverityLow
	SeverityMedium
	SeverityHigh
	SeverityCritical
)

// ActorType says what kind of principal acted.
type ActorType string

// The actor types.
const (
	ActorUser      ActorType = "user"
	ActorService   ActorType = "service"
	ActorAPIKey    ActorType = "api_key"
	ActorSystem    ActorType = "system"
	ActorAnonymous ActorType = "anonymous"
)

var (
	outcomeNames  = [...]string{"unknown", "success", "failure", "denied", "error"}
	severityNames = [...]string{"info", "low", "medium", "high", "critical"}
)

// String returns the name on the wire.
func (o Outcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return outcomeNames[OutcomeUnknown]
}

// ParseOutcome returns the outcome of that exact name.
func ParseOutcome(s string) (Outcome, bool) {
	for i, name := range outcomeNames {
		if s == name {
			return Outcome(i), true
		}
	}
	return OutcomeUnknown, false
}

// String returns the name on the wire.
func (s Severity) String() string {
	if int(s) < len(severityNames) {
		return severityNames[s]
	}
	return severityNames[SeverityInfo]
}

// ParseSeverity returns the severity of that exact name.
func ParseSeverity(s string) (Severity, bool) {
	for i, name := range severityNames {
		if s == name {
			return Severity(i), true
		}
	}
	return SeverityInfo, false
}

// parseCategory returns the constant, not its argument, so that an Event does not alias a record by it.
func parseCategory(s string) (Category, bool) {
	switch c := Category(s); c {
	case CategoryAuth:
		return CategoryAuth, true
	case CategoryData:
		return CategoryData, true
	case CategoryAccess:
		return CategoryAccess, true
	case CategoryAdmin:
		return CategoryAdmin, true
	case CategorySystem:
		return CategorySystem, true
	}
	return "", false
}

// parseActorType is parseCategory for actor types.
func parseActorType(s string) (ActorType, bool) {
	switch t := ActorType(s); t {
	case ActorUser:
		return ActorUser, true
	case ActorService:
		return ActorService, true
	case ActorAPIKey:
		return ActorAPIKey, true
	case ActorSystem:
		return ActorSystem, true
	case ActorAnonymous:
		return ActorAnonymous, true
	}
	return "", false
}
