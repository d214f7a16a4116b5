package outbox

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/setting"
)

// A Schedule describes messages that are made at times of the clock. However many relays
// run it, each time makes one message.
type Schedule struct {
	// Name identifies the schedule: letters, digits, dots, hyphens and underscores, at most
	// 100. A schedule with another name begins anew. Required.
	Name string

	// Cron gives the times as a cron expression of five fields (minute, hour, day of the
	// month, month, day of the week), with seconds as an optional first field and no years,
	// or a tag such as @daily. Package github.com/adhocore/gronx reads it. The package documentation has
	// the rules for daylight saving time. Either Cron or Every is required.
	Cron string

	// Every is the time between two messages, at least a second. The times are the
	// multiples of Every since 1970, UTC, so that all relays agree.
	Every time.Duration

	// Zone is the IANA name of Cron's time zone, such as "Europe/Berlin". Empty means UTC.
	Zone string

	// Queue is the queue that the messages go to. Required.
	Queue string

	// Message is what is sent: body, attributes and group. Nil means an empty message. Each
	// message also has the attributes schedule (the name) and scheduled-at (the time, by
	// RFC 3339), and an identity made of the two.
	Message *handler.Message

	// Overlap says what happens to a message while the one before is pending in the table.
	Overlap Overlap

	// CatchUp says what happens to times that passed while no relay ran.
	CatchUp CatchUp
}

// Overlap says what happens to a message of a schedule while the one before is pending: its
// queue could not be reached. Whether a handler works on it is not known here.
type Overlap uint8

// The kinds of overlap.
const (
	// OverlapAllow makes the message.
	OverlapAllow Overlap = iota
	// OverlapSkip makes none, and logs it.
	OverlapSkip
)

// CatchUp says what happens to times of a schedule that passed more than a minute ago
// without a message, because no relay ran. Later times always have theirs.
type CatchUp uint8

// The kinds of catching up.
const (
	// CatchUpLast makes the message of the latest time.
	CatchUpLast CatchUp = iota
	// CatchUpAll makes all messages.
	CatchUpAll
	// CatchUpNone makes none.
	CatchUpNone
)

// grace is the age of a time after which [CatchUp] decides about it.
const grace = time.Minute

var scheduleName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)

// Check returns an error that names all faults of the schedule, such as a time zone that
// does not exist or an expression that never fires.
func (s *Schedule) Check() error {
	_, err := s.times()
	faults := []error{
		setting.Refuse(!scheduleName.MatchString(s.Name), "Name is %q: it must be 1 to 100 letters, digits, dots, hyphens and underscores", s.Name),
		setting.Refuse(s.Overlap > OverlapSkip, "Overlap is %d: it must be OverlapAllow or OverlapSkip", s.Overlap),
		setting.Refuse(s.CatchUp > CatchUpNone, "CatchUp is %d: it must be CatchUpLast, CatchUpAll or CatchUpNone", s.CatchUp),
		checkQueue(s.Queue),
		err,
	}
	if s.Message != nil {
		_, e := newRow(s.Queue, "", "", s.Message)
		faults = append(faults, e, setting.Refuse(s.Message.Delay != 0, "Message has a delay: the schedule gives its time"))
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("schedule %q: %w", s.Name, err)
	}
	return nil
}

// times returns the schedule's times, or what is wrong with them.
func (s *Schedule) times() (times, error) {
	zone, err := time.LoadLocation(s.Zone)
	if s.Zone == time.Local.String() {
		err = errors.New("it differs between processes; name a zone such as Europe/Berlin")
	}
	if err != nil {
		return nil, fmt.Errorf("Zone is %q: %w", s.Zone, err)
	}
	switch {
	case (s.Cron == "") == (s.Every == 0):
		return nil, errors.New("either Cron or Every must be set")
	case s.Cron != "":
		return newCron(s.Cron, zone)
	case s.Every < time.Second || s.Every%time.Millisecond != 0:
		return nil, fmt.Errorf("Every is %v: it must be at least a second, in whole milliseconds", s.Every)
	case s.Zone != "":
		return nil, errors.New("Zone and Every exclude each other: an interval has no time zone")
	}
	return every(s.Every), nil
}

// Next returns the schedule's first time after t. It returns an error if the schedule has
// none, or a fault.
func (s *Schedule) Next(t time.Time) (time.Time, error) {
	ts, err := s.times()
	if err != nil {
		return time.Time{}, err
	}
	return ts.next(t)
}

// MessageAt returns the message of a time: a copy of Message with the attributes and the
// identity that it has at that time.
func (s *Schedule) MessageAt(t time.Time) *handler.Message {
	m := new(handler.Message)
	if s.Message != nil {
		m.Body, m.Group, m.Attributes = slices.Clone(s.Message.Body), s.Message.Group, maps.Clone(s.Message.Attributes)
	}
	stamp := t.UTC().Format(time.RFC3339)
	m.DedupeID = s.Name + "/" + stamp
	m.SetAttribute("schedule", s.Name)
	m.SetAttribute("scheduled-at", stamp)
	return m
}

// times are the times of a schedule.
type times interface {
	// next returns the first time after t.
	next(t time.Time) (time.Time, error)
}

// every is an interval, which counts from 1970.
type every time.Duration

func (e every) next(t time.Time) (time.Time, error) {
	n := t.UnixNano() / int64(e)
	return time.Unix(0, (n+1)*int64(e)).UTC(), nil
}
