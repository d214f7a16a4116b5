package envelope

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-go/sluice/handler"
)

// An EventBridge is an event that Amazon EventBridge sends to a target, with a detail
// of type T.
type EventBridge[T any] struct {
	Version    string    `json:"version"`
	ID         string    `json:"id"`
	DetailType string    `json:"detail-type"`
	Source     string    `json:"source"`
	Account    string    `json:"account"`
	Time       time.Time `json:"time"`
	Region     string    `json:"region"`
	Resources  []string  `json:"resources"`
	ReplayName string    `json:"replay-name,omitempty"`
	Detail     T         `json:"detail"`
}

// ParseEventBridge parses the EventBridge event in a message's body. It returns an
// error marked with handler.Reject if the event is malformed or lacks id, source,
// detail-type or detail.
func ParseEventBridge[T any](m *handler.Message) (*EventBridge[T], error) {
	var raw EventBridge[json.RawMessage]
	if err := json.Unmarshal(m.Body, &raw); err != nil {
		return nil, handler.Reject(fmt.Errorf("EventBridge event: %w", err))
	}
	if raw.ID == "" || raw.Source == "" || raw.DetailType == "" || len(raw.Detail) == 0 || string(raw.Detail) == "null" {
		return nil, handler.Reject(errors.New("EventBridge event: id, source, detail-type or detail is missing"))
	}
	e := &EventBridge[T]{
		Version: raw.Version, ID: raw.ID, DetailType: raw.DetailType, Source: raw.Source, Account: raw.Account,
		Time: raw.Time, Region: raw.Region, Resources: raw.Resources, ReplayName: raw.ReplayName,
	}
	if err := json.Unmarshal(raw.Detail, &e.Detail); err != nil {
		return nil, handler.Reject(fmt.Errorf("EventBridge event %s of %q: detail: %w", raw.ID, raw.DetailType, err))
	}
	return e, nil
}
