package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/drivers"
)

// hint names the command that mends an error of a driver, which names none.
func hint(err error) string {
	var e *drivers.Error
	if !errors.As(err, &e) {
		return ""
	}
	switch {
	case e.Code == drivers.NotFound:
		return "; to create it: sluice apply"
	case e.Code == drivers.Invalid && strings.Contains(e.Remedy, "by origin"):
		return "; to select by origin: sluice redrive --source QUEUE"
	case e.Code == drivers.Unsupported && strings.Contains(e.Remedy, "dead_letter"):
		return "; to apply it: sluice apply"
	default:
		return ""
	}
}

// command words a finding's remedy as a command line of this program. Text in
// parentheses comes with it.
func command(f *admin.Finding) string {
	r := f.Remedy
	var line string
	switch r.Kind {
	case admin.ApplySpec:
		line = "sluice apply"
	case admin.ChangeSpec:
		line = fmt.Sprintf("sluice apply (with %s in the configuration)", r.Setting)
	case admin.Redrive:
		line = "sluice redrive " + f.Queue
	case admin.PeekAndRedrive:
		line = fmt.Sprintf("sluice peek %[1]s --dead, then: sluice redrive %[1]s", f.Queue)
	case admin.KeepLeases:
		line = fmt.Sprintf("sluice run %s --heartbeat … (or raise %s and: sluice apply)", f.Queue, r.Setting)
	case admin.ConsumeMore:
		line = fmt.Sprintf("sluice run %s --concurrency N … (or raise %s and: sluice apply)", f.Queue, r.Setting)
	case admin.ReadPlan:
		line = "sluice plan (shows the way out)"
	default:
		line = "sluice plan"
	}
	if r.Command != "" {
		line += " (or: " + r.Command + ")"
	}
	return line
}
