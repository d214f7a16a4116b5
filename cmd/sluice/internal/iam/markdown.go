package iam

import (
	"fmt"
	"strings"
)

// Markdown returns the table of a cloud: each call with its permissions and purposes.
func Markdown(c Cloud) string {
	var b strings.Builder
	b.WriteString("| call | on | permission |")
	for _, p := range Purposes() {
		fmt.Fprintf(&b, " %s |", p)
	}
	b.WriteString("\n|---|---|---|")
	b.WriteString(strings.Repeat("---|", len(Purposes())))
	b.WriteString("\n")
	var notes []string
	for _, r := range rows(c) {
		var needs []string
		for _, n := range r.needs {
			text := "`" + n.permission + "`"
			if n.on != r.on {
				text += " on the " + string(n.on)
			}
			needs = append(needs, text)
		}
		mark := ""
		if r.when != always {
			mark = " (with " + string(r.when) + ")"
		}
		if r.unrecorded != "" {
			notes = append(notes, fmt.Sprintf("- `%s` is not in the recording: %s.", r.call, r.unrecorded))
		}
		fmt.Fprintf(&b, "| `%s`%s | %s | %s |", r.call, mark, r.on, strings.Join(needs, ", "))
		for _, p := range Purposes() {
			cell := ""
			if r.serves(p) {
				cell = "•"
			}
			fmt.Fprintf(&b, " %s |", cell)
		}
		b.WriteString("\n")
	}
	if len(notes) > 0 {
		b.WriteString("\n" + strings.Join(notes, "\n") + "\n")
	}
	return b.String()
}

// CommandsMarkdown returns the table of the commands with the purposes of each.
func CommandsMarkdown() string {
	var b strings.Builder
	b.WriteString("| command | `--for` | |\n|---|---|---|\n")
	for _, c := range Commands() {
		var names []string
		for _, p := range c.Purposes {
			names = append(names, "`"+string(p)+"`")
		}
		if len(names) == 0 {
			names = []string{"nothing"}
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", c.Name, strings.Join(names, ", "), c.Note)
	}
	return b.String()
}
