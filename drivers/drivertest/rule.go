package drivertest

import "slices"

// A Rule is one law that drivers obey.
type Rule struct {
	// ID identifies the rule. It never changes and is never reused.
	ID string
	// Law is the rule as a sentence.
	Law string

	check func(c *check)
}

// Rules returns every rule of the suite, in the order of the table.
func Rules() []Rule {
	return slices.Concat(
		capabilityRules(),
		receiveRules(),
		settleRules(),
		batchRules(),
		leaseRules(),
		duplicateRules(),
		delayRules(),
		attemptRules(),
		deadLetterRules(),
		rejectRules(),
		groupRules(),
		attributeRules(),
		bodyRules(),
		sendRules(),
		dedupeRules(),
		concurrencyRules(),
		inspectRules(),
		redriveRules(),
		provisionRules(),
		identityRules(),
		closeRules(),
		errorRules(),
	)
}

func ruleIDs(rules []Rule) map[string]bool {
	ids := make(map[string]bool, len(rules))
	for _, r := range rules {
		ids[r.ID] = true
	}
	return ids
}
