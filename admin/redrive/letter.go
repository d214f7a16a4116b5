package redrive

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-go/sluice/admin/letters"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
	"github.com/sluice-go/sluice/handler"
)

// past is an entry of deadletter.AttributeRedriveHistory.
type past struct {
	Reason   string    `json:"reason,omitempty"`
	Attempt  int       `json:"attempt,omitempty"`
	First    time.Time `json:"first_failed,omitzero"`
	Last     time.Time `json:"last_failed,omitzero"`
	Consumer string    `json:"consumer,omitempty"`
}

const (
	// maxPast entries are kept, the newest, each with maxReason bytes of its
	// reason: a history must not make a message too large to send.
	maxPast   = 5
	maxReason = 200
	// maxHistory is less than the 1,024 bytes of an attribute's value on Pub/Sub.
	maxHistory = 1000
)

// restore returns the message that a letter was, with its history. Its ID is the
// letter's until it is sent.
func restore(letter *handler.Message) (*handler.Message, error) {
	m := &handler.Message{
		ID: letter.ID, Body: letter.Body, Group: letter.Group,
		// A letter without one was known by its message ID, which the
		// message that is sent back does not have.
		DedupeID:   cmp.Or(letter.DedupeID, letter.ID),
		Attributes: drivers.WithoutFailure(letter.Attributes),
	}
	m.SetNative(letter.Native())
	m.Attributes[deadletter.AttributeRedriveCount] = strconv.Itoa(letters.Redrives(letter) + 1)

	var history []past
	if old := m.Attributes[deadletter.AttributeRedriveHistory]; old != "" {
		if err := json.Unmarshal([]byte(old), &history); err != nil {
			history = nil // somebody else's; it cannot be carried on
		}
	}
	if f, ok := drivers.ParseFailure(letter.Attributes); ok {
		reason := f.Reason
		if len(reason) > maxReason {
			reason = strings.ToValidUTF8(reason[:maxReason], "") + "…"
		}
		p := past{Reason: reason, Attempt: f.Attempt, First: f.First, Last: f.Last, Consumer: f.Consumer}
		if p != (past{}) { // of what the provider itself dead-lettered nothing is known
			history = append(history, p)
		}
	}
	if len(history) > maxPast {
		history = history[len(history)-maxPast:]
	}
	for ; len(history) > 0; history = history[1:] {
		text, err := json.Marshal(history)
		if err != nil {
			return nil, fmt.Errorf("letter %s: history: %w", letter.ID, err)
		}
		if len(text) <= maxHistory {
			m.Attributes[deadletter.AttributeRedriveHistory] = string(text)
			break
		}
	}
	return m, nil
}
