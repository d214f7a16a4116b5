package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/nearest"
	"github.com/sluice-go/sluice/outbox"
)

// The values of a schedule's keys overlap and catch_up.
var (
	overlaps = map[string]outbox.Overlap{"allow": outbox.OverlapAllow, "skip": outbox.OverlapSkip}
	catchUps = map[string]outbox.CatchUp{"last": outbox.CatchUpLast, "all": outbox.CatchUpAll, "none": outbox.CatchUpNone}
)

// A schedule is what an entry of the section schedules says.
type schedule struct {
	outbox.Schedule
	body, group      string
	attributes       map[string]string
	overlap, catchUp string
}

// complete fills in the parts of the schedule that the file has in another form.
func (s *schedule) complete(name string) {
	s.Name, s.Overlap, s.CatchUp = name, overlaps[s.overlap], catchUps[s.catchUp]
	s.Message = &handler.Message{Body: []byte(s.body), Group: s.group, Attributes: s.attributes}
}

// check reports what is wrong with a schedule that was completed, key by key.
func (s *schedule) check(queues []Queue, fault func(key, problem, remedy string)) {
	found := s.checkTimes(fault)
	at := slices.IndexFunc(queues, func(q Queue) bool { return q.Name == s.Queue })
	switch {
	case s.Queue == "":
		found = true
		fault("", "the schedule has no queue", "set queue to the name of a configured queue")
	case at < 0:
		found = true
		names := make([]string, len(queues))
		for i := range queues {
			names[i] = queues[i].Name
		}
		remedy := "add it to the section queues"
		if n := nearest.Of(s.Queue, names); n != "" {
			remedy = fmt.Sprintf("did you mean %q?", n)
		}
		fault("queue", fmt.Sprintf("no queue %q is configured", s.Queue), remedy)
	case queues[at].Sink == "":
		found = true
		fault("queue", fmt.Sprintf("queue %q has no URL for sending", s.Queue), fmt.Sprintf("set queues.%s.sink", s.Queue))
	}
	if err := s.Check(); err != nil && !found { // the rest, such as the length of the name
		fault("", strings.TrimPrefix(err.Error(), fmt.Sprintf("schedule %q: ", s.Name)), "")
	}
}

// checkTimes reports what is wrong with the times of a schedule, and whether anything is.
func (s *schedule) checkTimes(fault func(key, problem, remedy string)) bool {
	switch {
	case s.Cron == "" && s.Every == 0:
		fault("", "the schedule has no times", `set cron, such as "30 2 * * *", or every, such as 1h`)
	case s.Cron != "" && s.Every != 0:
		fault("every", "cron and every exclude each other", "remove one of them")
	case s.Every != 0 && s.Zone != "":
		fault("zone", "an interval has no time zone", "remove it, or use cron in place of every")
	case s.Every != 0:
		if _, err := s.Next(time.Now()); err != nil {
			fault("every", fmt.Sprintf("%v is not at least a second, in whole milliseconds", s.Every), "")
			return true
		}
		return false
	default:
		// The zone apart from the expression: each has its line.
		_, unzoned := (&outbox.Schedule{Cron: s.Cron}).Next(time.Now())
		if unzoned != nil {
			fault("cron", strings.TrimPrefix(unzoned.Error(), "Cron is "), `such as "30 2 * * *" for every day at 02:30`)
			return true
		}
		if _, err := s.Next(time.Now()); err != nil {
			if text, ok := strings.CutPrefix(err.Error(), "Zone is "); ok {
				fault("zone", text, "an IANA name, such as Europe/Berlin")
			} else {
				fault("cron", strings.TrimPrefix(text, "Cron is "), "")
			}
			return true
		}
		return false
	}
	return true
}
