package inbox

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/sluice-go/sluice/handler/webhook"
)

type standardProvider struct{ verifier *webhook.Verifier }

var _ Provider = (*standardProvider)(nil)

// NewStandard returns the [Provider] of senders that follow the Standard Webhooks
// specification. The secrets are those of [webhook.NewVerifier]: "whsec_…" for signatures
// of the scheme v1, "whpk_…" for v1a. A nil config has the defaults. The type is the field
// "type" of a JSON body.
func NewStandard(secrets []string, config *webhook.VerifierConfig) (Provider, error) {
	v, err := webhook.NewVerifier(secrets, config)
	if err != nil {
		return nil, err
	}
	return &standardProvider{verifier: v}, nil
}

// Read implements [Provider].
func (s *standardProvider) Read(_ context.Context, header http.Header, body []byte) (*Event, error) {
	id, err := s.verifier.Verify(header, body)
	if err != nil {
		return nil, err
	}
	var payload struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(body, &payload) != nil {
		payload.Type = "" // the specification does not prescribe JSON
	}
	return &Event{ID: id, Type: payload.Type}, nil
}
