package console

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/sluice-go/sluice/admin/letters"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

const (
	// maxBody is how much of a letter's body is kept, and maxBodies how much of all
	// bodies of a look, in bytes.
	maxBody   = 64 << 10
	maxBodies = 64 << 20
	// lookTime bounds a look.
	lookTime = 10 * time.Minute
)

// A seen letter is one that a look has brought. Its message is a copy, and Body what is
// kept of its body.
type seen struct {
	letters.Letter
	// Key names the letter in paths, Cause is the ID of its group.
	Key, Cause string
	// Bytes is the length of the whole body. Whole is false if less is kept.
	Bytes int
	Whole bool
}

// editable reports whether the body of a letter can be changed in a form.
func (s *seen) editable(c *Config) bool {
	return c.Write && !c.RedactBodies && s.Whole && utf8.Valid(s.Message.Body) && !bytes.ContainsRune(s.Message.Body, 0)
}

// A snapshot is what a look has brought: copies of letters at one time. It does not
// change once its look has ended.
type snapshot struct {
	// At is when the look ended; zero if there was none.
	At     time.Time
	Who    string
	Seen   []seen
	Groups []letters.Group
	// Most is how many letters were asked for, and Full is true if there may be more.
	Most int
	Full bool
	// Hidden is true if letters of an ordered queue could not be seen.
	Hidden bool
	Err    error

	byKey   map[string]int
	compile compiler // of the expressions that select in it
}

// letter returns the letter with a key, or nil.
func (s *snapshot) letter(key string) *seen {
	i, ok := s.byKey[key]
	if !ok {
		return nil
	}
	return &s.Seen[i]
}

// A look reads the dead letters of a queue when a viewer asks for it, and keeps what it
// has read. Its methods may be called concurrently.
type look struct {
	redact  bool
	compile compiler

	mu      sync.Mutex
	latest  *snapshot // nil before the first
	running bool
	count   int64 // letters that the running look has read
}

// state returns the latest snapshot, whether a look is running, and how many letters
// that has read.
func (l *look) state() (snap *snapshot, running bool, count int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.latest, l.running, l.count
}

// begin has the look marked as running. It returns false if it is already.
func (l *look) begin() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running {
		return false
	}
	l.running, l.count = true, 0
	return true
}

// run reads up to most letters. The caller has called begin.
func (l *look) run(ctx context.Context, who string, most int, spend bool, open func(context.Context) (drivers.Source, error)) *snapshot {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	s := &snapshot{Who: who, Most: most, byKey: make(map[string]int), compile: l.compile}
	var groups letters.Groups
	source, err := open(ctx)
	if err == nil {
		kept := 0
		var r letters.Result
		r, err = letters.Each(ctx, source, &letters.Options{Max: most, SpendAttempts: spend, Progress: func(r letters.Result) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.count = r.Seen
		}}, func(one letters.Letter) error {
			groups.Add(one)
			c := l.copyOf(one, maxBodies-kept)
			kept += len(c.Message.Body)
			s.byKey[c.Key] = len(s.Seen)
			s.Seen = append(s.Seen, c)
			return nil
		})
		s.Hidden, s.Full = r.Hidden, len(s.Seen) >= most
	}
	s.Err, s.At, s.Groups = err, time.Now(), groups.Sorted()
	if errors.Is(err, context.DeadlineExceeded) {
		s.Err, s.Full = nil, true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.latest, l.running = s, false
	return s
}

// forget removes letters that are not in the dead-letter queue any more.
func (l *look) forget(gone func(*seen) bool) {
	l.mu.Lock()
	old := l.latest
	l.mu.Unlock()
	if old == nil {
		return
	}
	s := *old
	s.Seen, s.byKey = nil, make(map[string]int)
	var groups letters.Groups
	for i := range old.Seen {
		if one := old.Seen[i]; !gone(&one) {
			groups.Add(one.Letter)
			s.byKey[one.Key] = len(s.Seen)
			s.Seen = append(s.Seen, one)
		}
	}
	s.Groups = groups.Sorted()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.latest == old {
		l.latest = &s
	}
}

// copyOf copies a letter, with as much of its body as there is room for.
func (l *look) copyOf(one letters.Letter, room int) seen {
	m := one.Message
	keep := min(len(m.Body), maxBody, max(room, 0))
	if l.redact {
		keep = 0
	}
	sum := sha256.Sum256([]byte(m.ID))
	out := seen{Letter: one, Key: hex.EncodeToString(sum[:8]), Cause: one.Group(), Bytes: len(m.Body), Whole: keep == len(m.Body)}
	out.Message = &handler.Message{
		ID: m.ID, Body: append([]byte(nil), m.Body[:keep]...), Attributes: maps.Clone(m.Attributes), Attempt: m.Attempt,
		Group: m.Group, DedupeID: m.DedupeID, EnqueuedAt: m.EnqueuedAt,
	}
	return out
}
