package engine

import "github.com/audittrail/audittrail/detector/rule"

func ruleSet(r rule.Rule) []rule.Rule { return []rule.Rule{r} }
