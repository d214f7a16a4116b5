package conformance

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Read reads the reports in dir, sorted by server.
func Read(dir string) ([]Report, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("conformance reports in %s: %w", dir, err)
	}
	reports := make([]Report, 0, len(files))
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("conformance report: %w", err)
		}
		var r Report
		if err := json.Unmarshal(data, &r); err != nil {
			return nil, fmt.Errorf("conformance report %s: %w", filepath.Base(file), err)
		}
		reports = append(reports, r)
	}
	slices.SortFunc(reports, func(a, b Report) int { return strings.Compare(a.Server, b.Server) })
	return reports, nil
}

// marks are what the table shows for a status.
var marks = map[Status]string{Passed: "✓", Failed: "**✗**", Excepted: "e", Inapplicable: "–"}

// A Table is rules against servers.
type Table struct {
	reports []Report
	rules   []Result // of each rule the first result, for its ID and law
	by      map[key]Result
}

type key struct{ server, rule string }

// NewTable merges reports. Rules are in the order of the first report, which
// is that of the suite; those that only a later one has come behind.
func NewTable(reports []Report) *Table {
	t := &Table{reports: reports, by: map[key]Result{}}
	seen := map[string]bool{}
	for _, report := range reports {
		for _, r := range report.Results {
			t.by[key{report.Server, r.Rule}] = r
			if !seen[r.Rule] {
				seen[r.Rule] = true
				t.rules = append(t.rules, r)
			}
		}
	}
	return t
}

// Failed returns the results that are failures, as "server: rule: note".
func (t *Table) Failed() []string {
	var failed []string
	t.each(Failed, func(server string, r Result) {
		failed = append(failed, fmt.Sprintf("%s: %s: %s", server, r.Rule, r.Note))
	})
	return failed
}

func (t *Table) each(s Status, f func(server string, r Result)) {
	for _, rule := range t.rules {
		for _, report := range t.reports {
			if r, ok := t.by[key{report.Server, rule.Rule}]; ok && r.Status == s {
				f(report.Server, r)
			}
		}
	}
}

// WriteMarkdown writes the page that docs/conformance.md is.
func (t *Table) WriteMarkdown(w io.Writer) error {
	p := &printer{w: w}
	p.line("# Conformance")
	p.line("")
	p.line("The rules of `drivers/drivertest`, and how each driver keeps them on each server that it is tested against.")
	p.line("Made by `go run ./drivers/drivertest/internal/conformance/cmd/conformance -write`; do not edit.")
	p.line("")
	p.line("✓ holds · – does not apply: the queue has nothing that the rule is about · e an exception that is listed below the table with its reason · **✗** broken")
	p.line("")
	t.summary(p)
	t.matrix(p)
	t.notes(p, "Exceptions", Excepted, "Rules that a server is known to break. They are run nevertheless; one that is kept after all fails the test.")
	t.notes(p, "Failures", Failed, "What is broken.")
	t.notes(p, "Rules that do not apply", Inapplicable, "")
	return p.err
}

func (t *Table) summary(p *printer) {
	p.line("| server | holds | exceptions | does not apply | broken |")
	p.line("|---|--:|--:|--:|--:|")
	for _, report := range t.reports {
		n := map[Status]int{}
		for _, r := range report.Results {
			n[r.Status]++
		}
		p.line("| %s | %d | %d | %d | %d |", report.Server, n[Passed], n[Excepted], n[Inapplicable], n[Failed])
	}
	p.line("")
}

func (t *Table) matrix(p *printer) {
	head, rule := "| rule | law |", "|---|---|"
	for _, report := range t.reports {
		head += " " + report.Server + " |"
		rule += ":-:|"
	}
	p.line("%s", head)
	p.line("%s", rule)
	for _, r := range t.rules {
		row := fmt.Sprintf("| %s | %s |", r.Rule, cell(r.Law))
		for _, report := range t.reports {
			mark := " "
			if got, ok := t.by[key{report.Server, r.Rule}]; ok {
				mark = " " + marks[got.Status] + " "
			}
			row += mark + "|"
		}
		p.line("%s", row)
	}
}

func (t *Table) notes(p *printer, title string, s Status, intro string) {
	type note struct{ rule, text string }
	var order []note
	servers := map[note][]string{}
	t.each(s, func(server string, r Result) {
		n := note{r.Rule, r.Note}
		if servers[n] == nil {
			order = append(order, n)
		}
		servers[n] = append(servers[n], server)
	})
	if len(order) == 0 {
		return
	}
	p.line("")
	p.line("## %s", title)
	p.line("")
	if intro != "" {
		p.line("%s", intro)
		p.line("")
	}
	p.line("| rule | server | why |")
	p.line("|---|---|---|")
	for _, n := range order {
		p.line("| %s | %s | %s |", n.rule, strings.Join(servers[n], ", "), cell(n.text))
	}
}

// cell makes text fit for a table's cell.
func cell(s string) string {
	return strings.NewReplacer("\n", " ", "|", `\|`).Replace(strings.TrimSpace(s))
}

type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}
