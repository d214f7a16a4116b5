package cli

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/drivers"
)

// hint names the command that mends an error of a driver, which names none. The
// command has the flags that this one was given.
func hint(err error, flags string) string {
	var e *drivers.Error
	if !errors.As(err, &e) {
		return ""
	}
	switch {
	case e.Code == drivers.NotFound && strings.Contains(e.Remedy, "outbox.Migration"):
		return "; from here: sluice outbox --migrate" + flags
	case e.Code == drivers.NotFound && e.Op == "edit": // the letter is not there
		return "; to list the IDs: sluice letters QUEUE -v" + flags
	case e.Code == drivers.NotFound:
		return "; to create it: sluice apply" + flags
	case e.Code == drivers.Invalid && strings.Contains(e.Remedy, "by origin"):
		return "; to select by origin: sluice redrive --source QUEUE" + flags
	case e.Code == drivers.Unsupported && strings.Contains(e.Remedy, "dead_letter"):
		return "; to apply it: sluice apply" + flags
	default:
		return ""
	}
}

// command words a finding's remedy as command lines of this program, with the flags
// that this one was given, to be pasted. Text in parentheses comes with them.
func command(f *admin.Finding, flags string) string {
	r := f.Remedy
	queue, apply := quoted(f.Queue)+flags, "sluice apply"+flags
	var line string
	switch r.Kind {
	case admin.ApplySpec:
		line = apply
	case admin.ChangeSpec:
		line = fmt.Sprintf("%s (with %s in the configuration)", apply, r.Setting)
	case admin.Redrive:
		line = "sluice redrive " + queue
	case admin.PeekAndRedrive:
		line = fmt.Sprintf("sluice peek %[1]s --dead, then: sluice redrive %[1]s", queue)
	case admin.KeepLeases:
		line = fmt.Sprintf("sluice run %s --heartbeat … (or raise %s and: %s)", queue, r.Setting, apply)
	case admin.ConsumeMore:
		line = fmt.Sprintf("sluice run %s --concurrency N … (or raise %s and: %s)", queue, r.Setting, apply)
	case admin.ReadPlan:
		line = "sluice plan" + flags + " (shows the way out)"
	default:
		line = "sluice plan" + flags
	}
	if r.Command != "" {
		line += " (or: " + r.Command + ")"
	}
	return line
}

// plainWord matches what a shell takes as it is.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:@%+,-]+$`)

// quoted is a word as a shell reads it.
func quoted(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
