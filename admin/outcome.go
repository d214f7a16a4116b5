package admin

import (
	"strings"

	"github.com/sluice-go/sluice/drivers/provision"
)

// An Outcome is what a [Fleet] planned for a target, or did with it.
type Outcome struct {
	Target Target
	// Changes are those that [Plan] or [Apply] returns. There may be some beside an
	// error.
	Changes []provision.Change
	// Err names the target. It is nil if the target was planned or applied.
	Err error
}

// settled reports whether a plan leaves nothing to apply.
func (o *Outcome) settled() bool { return o.Err != nil || len(o.Changes) == 0 }

// touches returns what applying a plan may change: its resources, and the URL without
// its parameters.
func (o *Outcome) touches() []string {
	place, _, _ := strings.Cut(o.Target.URL, "?")
	things := []string{"at " + place}
	for _, c := range o.Changes {
		things = append(things, c.Resource)
	}
	return things
}
