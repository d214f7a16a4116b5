// Package conformance gathers what drivertest found on each server, and prints
// it as a table of rules against servers.
package conformance

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"
)

// DirVariable is the environment variable that names the directory which
// drivertest writes its reports to.
const DirVariable = "SLUICE_CONFORMANCE_DIR"

// Status is what came of a rule on a server.
type Status string

// The statuses.
const (
	// Passed: the rule holds.
	Passed Status = "passed"
	// Failed: the rule is broken, or its exception is stale.
	Failed Status = "failed"
	// Excepted: the rule is broken, as the harness said it would be.
	Excepted Status = "excepted"
	// Inapplicable: the queue lacks the feature that the rule is about.
	Inapplicable Status = "inapplicable"
)

// A Report is what one run of the suite found on one server.
type Report struct {
	Server  string   `json:"server"`
	Results []Result `json:"results"`
}

// A Result is what came of one rule.
type Result struct {
	Rule   string `json:"rule"`
	Law    string `json:"law"`
	Status Status `json:"status"`
	// Note is the exception's reason, why the rule does not apply, or how it
	// failed. It is empty for a rule that passed.
	Note     string        `json:"note,omitempty"`
	Duration time.Duration `json:"duration_ns"`
}

// Write writes the report to a new file in dir.
func (r *Report) Write(dir string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("conformance report of %s: %w", r.Server, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("conformance report of %s: %w", r.Server, err)
	}
	return os.WriteFile(filepath.Join(dir, slug(r.Server)+".json"), append(data, '\n'), 0o644)
}

func slug(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return '-'
	}, s)
}
