package inbox

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/sluice-go/sluice/handler/webhook"
)

type slackProvider struct {
	keys   keys
	timing timing
}

var _ Provider = (*slackProvider)(nil)

// NewSlack returns the [Provider] of Slack's Events API, slash commands and interactions
// (https://docs.slack.dev/authentication/verifying-requests-from-slack). A secret is the
// app's signing secret. A nil config has the defaults.
//
// An event's identity is its event_id. A slash command and an interaction have that of
// their trigger_id. A request that has neither has that of its signature. The
// url_verification is a handshake that is answered with its challenge.
func NewSlack(secrets []string, config *webhook.VerifierConfig) (Provider, error) {
	ks, err := newKeys("Slack", secrets)
	t, wrong := newTiming("Slack", config)
	if err := errors.Join(err, wrong); err != nil {
		return nil, err
	}
	return &slackProvider{keys: ks, timing: t}, nil
}

// Read implements [Provider].
func (s *slackProvider) Read(_ context.Context, header http.Header, body []byte) (*Event, error) {
	stamp, err := only(header, "X-Slack-Request-Timestamp")
	if err != nil {
		return nil, err
	}
	value, err := only(header, "X-Slack-Signature")
	if err != nil {
		return nil, err
	}
	signature, err := parseHex(value, "v0=")
	if err != nil {
		return nil, err
	}
	if err := s.timing.check(stamp); err != nil {
		return nil, err
	}
	if !s.keys.signed([][]byte{signature}, []byte("v0:"+stamp+":"), body) {
		return nil, fmt.Errorf("%w: it does not match", ErrSignature)
	}
	var e *Event
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) {
		e, err = readSlackEvent(body)
	} else {
		e, err = readSlackForm(body)
	}
	if err == nil && e.ID == "" {
		e.ID = "slack-" + hex.EncodeToString(signature)
	}
	return e, err
}

// readSlackEvent reads a request of the Events API.
func readSlackEvent(body []byte) (*Event, error) {
	var r struct {
		Type      string `json:"type"`
		Challenge string `json:"challenge"`
		EventID   string `json:"event_id"`
		Event     struct {
			Type string `json:"type"`
		} `json:"event"`
	}
	if json.Unmarshal(body, &r) != nil {
		return nil, errors.New("the body is not JSON")
	}
	switch {
	case r.Type == "url_verification":
		return &Event{ID: r.EventID, Type: r.Type, Handshake: true, Answer: r.Challenge}, nil
	case r.Event.Type != "":
		return &Event{ID: r.EventID, Type: r.Event.Type}, nil
	default:
		return &Event{ID: r.EventID, Type: r.Type}, nil
	}
}

// readSlackForm reads a slash command, or an interaction, whose field payload is JSON.
func readSlackForm(body []byte) (*Event, error) {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, errors.New("the body is neither JSON nor a form")
	}
	if !form.Has("payload") {
		return &Event{ID: form.Get("trigger_id"), Type: "slash_commands"}, nil
	}
	var r struct {
		Type      string `json:"type"`
		TriggerID string `json:"trigger_id"`
	}
	if json.Unmarshal([]byte(form.Get("payload")), &r) != nil {
		return nil, errors.New("the payload is not JSON")
	}
	return &Event{ID: r.TriggerID, Type: r.Type}, nil
}
