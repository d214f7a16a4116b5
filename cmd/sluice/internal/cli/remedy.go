package cli

import (
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/cmd/sluice/internal/iam"
	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers"
)

// An adviser words the remedies for what a command has met.
type adviser struct{ *app }

// hint names the command that mends an error of a driver, which names none. The
// command has the flags that this one was given, and the queues that it is about.
func (a adviser) hint(err error) string {
	var e *drivers.Error
	if !errors.As(err, &e) {
		return ""
	}
	about := a.about(e.Queue)
	apply := a.applying(about)
	switch {
	case e.Code == drivers.NotFound && strings.Contains(e.Remedy, "outbox.Migration"):
		return "; from here: sluice outbox --migrate" + a.given()
	case e.Code == drivers.NotFound && e.Op == "edit": // the letter is not there
		return "; to list the IDs: sluice letters" + words(about) + " -v" + a.given()
	case e.Code == drivers.NotFound && strings.Contains(e.Remedy, "its configuration") && apply != "":
		return "; to create it: " + apply
	case e.Code == drivers.Denied && strings.Contains(e.Remedy, "grant "):
		if c, ok := iam.CommandNamed(a.command); ok && len(c.Purposes) > 0 {
			return "; to print what is needed: sluice iam" + words(about) + " --for " + a.command + a.given()
		}
		return ""
	case e.Code == drivers.Invalid && strings.Contains(e.Remedy, "claim check") && a.command == "send":
		return "; from here: --claim-check URL"
	case e.Code == drivers.Invalid && strings.Contains(e.Remedy, "by origin"):
		return "; to select by origin: sluice redrive" + words(about) + " --source" + words(about) + a.given()
	case e.Code == drivers.Unsupported && strings.Contains(e.Remedy, "dead_letter") && apply != "":
		return "; to apply it: " + apply
	case e.Code == drivers.Unsupported && strings.Contains(e.Remedy, "dead_letter"):
		return "; if it is a dead-letter queue itself, give the queue whose letters it has"
	default:
		return ""
	}
}

// about returns the queues that an error is about, by what a driver calls the queue: of
// those that the command was given, or else of the configuration. It returns all of
// these if none of them is called so.
func (a adviser) about(name string) []*config.Queue {
	a.mu.Lock()
	queues := slices.Clone(a.asked)
	a.mu.Unlock()
	if c, err := a.config(); len(queues) == 0 && err == nil {
		for _, q := range c.Queues() {
			queues = append(queues, &q)
		}
	}
	var out []*config.Queue
	for _, q := range queues {
		if called(q.Source, name) || called(q.Sink, name) {
			out = append(out, q)
		}
	}
	if len(out) == 0 {
		return queues
	}
	return out
}

// called reports whether a driver calls the queue at rawURL so: by its path, the end of
// it, or the parameter queue.
func called(rawURL, name string) bool {
	u, err := url.Parse(rawURL)
	if err != nil || name == "" {
		return false
	}
	return u.Query().Get("queue") == name || strings.HasSuffix("/"+u.Host+u.Path, "/"+name)
}

// alerting returns the command that prints the alert policies of a queue.
func (a adviser) alerting(queue string) string {
	return "sluice plan " + quoted(queue) + " --alerts" + a.given()
}

// applying returns the command that makes queues as they are configured. It returns "" if
// one of them is not configured: the command would change other queues, and not that one.
func (a adviser) applying(queues []*config.Queue) string {
	for _, q := range queues {
		if !q.Configured {
			return ""
		}
	}
	return "sluice apply" + words(queues) + a.given()
}

// words are the names of queues as a shell reads them, each after a space.
func words(queues []*config.Queue) string {
	var b strings.Builder
	for _, q := range queues {
		b.WriteString(" " + quoted(q.Name))
	}
	return b.String()
}

// mend words a finding's remedy as a command line of this program, with the flags that
// this one was given, to be pasted, and as what there is to say of it. A line that applies
// names the queue, so that it changes no other.
func (a adviser) mend(f *admin.Finding) (line, note string) {
	r := f.Remedy
	queue := quoted(f.Queue) + a.given()
	apply, plan := "sluice apply "+queue, "sluice plan "+queue
	if config.IsURL(f.Queue) { // it has no configuration to apply
		apply = "name the queue in the configuration, then: sluice apply NAME" + a.given()
		plan = "name the queue in the configuration, then: sluice plan NAME" + a.given()
	}
	var notes []string
	switch r.Kind {
	case admin.ApplySpec:
		line = apply
	case admin.ChangeSpec:
		line, notes = apply, []string{"with " + r.Setting + " in the configuration"}
	case admin.Redrive:
		line = "sluice redrive " + queue
	case admin.PeekAndRedrive:
		line, notes = "sluice peek "+queue+" --dead", []string{"then: sluice redrive " + queue}
	case admin.KeepLeases:
		line, notes = "sluice run "+queue+" --heartbeat …", []string{"or raise " + r.Setting + " and: " + apply}
	case admin.ConsumeMore:
		line, notes = "sluice run "+queue+" --concurrency N …", []string{"or raise " + r.Setting + " and: " + apply}
	case admin.ReadPlan:
		line, notes = plan, []string{"shows the way out"}
	default:
		line = plan
	}
	if r.Command != "" {
		notes = append(notes, "or: "+r.Command)
	}
	return line, strings.Join(notes, "; ")
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
