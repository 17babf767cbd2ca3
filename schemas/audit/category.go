package audit

import "strings"

// CategoryOf returns the category of an action that names none, by the part before the first dot.
func CategoryOf(action string) Category {
	prefix, _, _ := strings.Cut(action, ".")
	switch prefix {
	case "auth", "session":
		return CategoryAuth
	case "record", "data", "file":
		return CategoryData
	case "api", "access", "audit":
		return CategoryAccess
	case "user", "role", "group", "permission", "account", "policy", "tenant", "config":
		return CategoryAdmin
	}
	return CategorySystem
}
