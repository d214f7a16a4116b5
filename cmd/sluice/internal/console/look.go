package console

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
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

// without returns a copy of s without the letters that are gone.
func (s *snapshot) without(gone ...removal) *snapshot {
	out := *s
	out.Seen, out.byKey = nil, make(map[string]int)
	var groups letters.Groups
	for i := range s.Seen {
		one := s.Seen[i]
		if slices.ContainsFunc(gone, func(r removal) bool { return r.has(&one, i) }) {
			continue
		}
		groups.Add(one.Letter)
		out.byKey[one.Key] = len(out.Seen)
		out.Seen = append(out.Seen, one)
	}
	out.Groups = groups.Sorted()
	return &out
}

// A look reads the dead letters of a queue when a viewer asks for it, and keeps what it
// has read. Its methods may be called concurrently.
type look struct {
	redact  bool
	compile compiler

	mu      sync.Mutex
	latest  *snapshot // nil before the first
	running bool
	count   int64     // letters that the running look has read
	gone    []removal // during the running look
}

// A removal is of letters that are not in the dead-letter queue any more.
type removal struct {
	ids  map[string]bool // nil is all letters
	read int             // how many letters the look had read
}

// has reports whether r is of a letter, which a look has read as the i-th.
func (r removal) has(one *seen, i int) bool {
	if r.ids == nil {
		return i < r.read // the others came later
	}
	return r.ids[one.Message.ID]
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
	l.running, l.count, l.gone = true, 0, nil
	return true
}

// run reads up to most letters. The caller has called begin.
func (l *look) run(ctx context.Context, who string, most int, spend bool, open func(context.Context) (drivers.Source, error)) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	s := &snapshot{Who: who, Most: most, byKey: make(map[string]int), compile: l.compile}
	var groups letters.Groups
	source, err := open(ctx)
	if err == nil {
		kept := 0
		var r letters.Result
		r, err = letters.Each(ctx, source, &letters.Options{Max: most, SpendAttempts: spend}, func(one letters.Letter) error {
			groups.Add(one)
			c := l.copyOf(one, maxBodies-kept)
			kept += len(c.Message.Body)
			s.byKey[c.Key] = len(s.Seen)
			s.Seen = append(s.Seen, c)
			l.mu.Lock()
			defer l.mu.Unlock()
			l.count++
			return nil
		})
		s.Hidden, s.Full = r.Hidden, len(s.Seen) >= most
	}
	s.Err, s.At, s.Groups = err, time.Now(), groups.Sorted()
	if errors.Is(err, context.DeadlineExceeded) {
		s.Err, s.Full = nil, true
	}
	for {
		l.mu.Lock()
		gone := l.gone
		l.gone = nil
		if len(gone) == 0 {
			l.latest, l.running = s, false
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		s = s.without(gone...)
	}
}

// forget removes the letters with the given message IDs, or all if ids is nil, from what was
// read: they are not in the dead-letter queue any more. A look that is running may have read
// them before.
func (l *look) forget(ids map[string]bool) {
	l.mu.Lock()
	old := l.latest
	if l.running {
		l.gone = append(l.gone, removal{ids: ids, read: int(l.count)})
	}
	l.mu.Unlock()
	if old == nil {
		return
	}
	s := old.without(removal{ids: ids, read: len(old.Seen)})
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.latest == old { // otherwise a look has ended meanwhile, without them
		l.latest = s
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
