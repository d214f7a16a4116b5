package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/sluice-go/sluice/internal/noun"
	"github.com/sluice-go/sluice/internal/setting"
)

// A State is what operators ask of a queue's consumers. The zero State asks for nothing.
type State struct {
	// Paused has consumers receive nothing and begin no handler.
	Paused bool `json:"paused,omitempty"`
	// Pause is the latest change of Paused.
	Pause Change `json:"pause,omitzero"`

	// Concurrency is how many handlers each consumer may run concurrently. Zero leaves it to
	// the configuration, as does a number above the configuration's.
	Concurrency int `json:"concurrency,omitempty"`
	// Rate is how many messages each consumer may begin in a stretch of Per. Zero sets
	// no limit, and leaves the configuration's own in place.
	Rate int           `json:"rate,omitempty"`
	Per  time.Duration `json:"per,omitempty"`
	// Limit is the latest change of Concurrency, Rate and Per.
	Limit Change `json:"limit,omitzero"`
}

// A Change says who made a change, when, and, if they said so, why.
type Change struct {
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason,omitempty"`
}

// String returns "by alice since 2026-11-29T19:00:00Z (reason)".
func (c Change) String() string {
	s := "by " + c.By + " since " + c.At.UTC().Format(time.RFC3339)
	if c.Reason != "" {
		s += " (" + c.Reason + ")"
	}
	return s
}

// limited reports whether s has a limit.
func (s State) limited() bool { return s.Concurrency > 0 || s.Rate > 0 }

// String describes s for people, with who asked for it. It returns "" if s asks for nothing.
func (s State) String() string {
	var parts []string
	if s.Paused {
		parts = append(parts, "paused "+s.Pause.String())
	}
	if s.limited() {
		parts = append(parts, "limited to "+s.limits()+" "+s.Limit.String())
	}
	return strings.Join(parts, "; ")
}

// limits describes the limits of s.
func (s State) limits() string {
	var parts []string
	if s.Concurrency > 0 {
		parts = append(parts, noun.Counted(s.Concurrency, "handler"))
	}
	if s.Rate > 0 {
		parts = append(parts, fmt.Sprintf("%s in %v", noun.Counted(s.Rate, "message"), s.Per))
	}
	return strings.Join(parts, " and ")
}

// check returns why s can't be obeyed.
func (s State) check() error {
	return errors.Join(
		setting.NotNegative("concurrency", s.Concurrency),
		setting.NotNegative("rate", s.Rate),
		setting.Refuse(s.Rate > 0 && s.Per <= 0, "per is %v: a rate needs a time above 0", s.Per),
	)
}

// parse reads a state as a store has it. A text that is empty, null or has a member that
// State has not does not mean that nothing is asked for.
func parse(text string) (State, error) {
	var s *State
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); errors.Is(err, io.EOF) {
		return State{}, errors.New("it is empty")
	} else if err != nil {
		return State{}, err
	}
	if s == nil {
		return State{}, errors.New("it is null")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return State{}, errors.New("there is text after it")
	}
	if err := s.check(); err != nil {
		return State{}, err
	}
	return *s, nil
}

// format writes a state as parse reads it.
func (s State) format() (string, error) {
	if err := s.check(); err != nil {
		return "", err
	}
	b, err := json.Marshal(s)
	return string(b), err
}
