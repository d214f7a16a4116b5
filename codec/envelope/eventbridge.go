package envelope

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-go/sluice/handler"
)

// EventBridge is an event as Amazon EventBridge sends it to a target, with its
// detail as T.
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

// ParseEventBridge reads an EventBridge event out of a message's body. Its error
// is marked by handler.Reject. An event without id, source, detail-type or detail
// is an error.
func ParseEventBridge[T any](m *handler.Message) (*EventBridge[T], error) {
	var raw EventBridge[json.RawMessage]
	if err := json.Unmarshal(m.Body, &raw); err != nil {
		return nil, handler.Reject(fmt.Errorf("EventBridge event: %w", err))
	}
	if raw.ID == "" || raw.Source == "" || raw.DetailType == "" || len(raw.Detail) == 0 || string(raw.Detail) == "null" {
		return nil, handler.Reject(errors.New("EventBridge event: id, source, detail-type and detail are not all there"))
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
