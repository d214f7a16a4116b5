package inbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/sluice-go/sluice/handler/webhook"
)

// maxSignatures bounds the signatures of one request that are compared: each costs
// time, before anybody is known.
const maxSignatures = 32

type stripeProvider struct {
	keys   keys
	timing timing
}

var _ Provider = (*stripeProvider)(nil)

// NewStripe returns the [Provider] of Stripe (https://docs.stripe.com/webhooks). A secret
// is an endpoint's signing secret, "whsec_…" as Stripe shows it. A nil config has the
// defaults.
func NewStripe(secrets []string, config *webhook.VerifierConfig) (Provider, error) {
	ks, err := newKeys("Stripe", secrets)
	t, wrong := newTiming("Stripe", config)
	if err := errors.Join(err, wrong); err != nil {
		return nil, err
	}
	return &stripeProvider{keys: ks, timing: t}, nil
}

// Read implements [Provider].
func (s *stripeProvider) Read(_ context.Context, header http.Header, body []byte) (*Event, error) {
	value, err := only(header, "Stripe-Signature")
	if err != nil {
		return nil, err
	}
	stamp, signatures, err := parseStripe(value)
	if err != nil {
		return nil, err
	}
	if err := s.timing.check(stamp); err != nil {
		return nil, err
	}
	if !s.keys.signed(signatures, []byte(stamp), []byte("."), body) {
		return nil, fmt.Errorf("%w: it does not match", ErrSignature)
	}
	var event struct {
		ID   string `json:"id"`
		Type string `json:"type"`
	}
	if json.Unmarshal(body, &event) != nil {
		return nil, errors.New("the body is not JSON")
	}
	return &Event{ID: event.ID, Type: event.Type}, nil
}

// parseStripe reads "t=1492774577,v1=5257a8…,v0=6ffbb5…". Other schemes than v1 are
// passed over, since they may be weaker.
func parseStripe(value string) (stamp string, signatures [][]byte, err error) {
	for part := range strings.SplitSeq(value, ",") {
		name, text, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "t":
			if stamp != "" {
				return "", nil, fmt.Errorf("%w: there are two timestamps", ErrSignature)
			}
			stamp = text
		case "v1":
			if s, err := hex.DecodeString(text); err == nil && len(s) == sha256.Size && len(signatures) < maxSignatures {
				signatures = append(signatures, s)
			}
		}
	}
	switch {
	case stamp == "":
		return "", nil, fmt.Errorf("%w: there is no timestamp", ErrSignature)
	case len(signatures) == 0:
		return "", nil, fmt.Errorf("%w: no signature of version 1", ErrSignature)
	}
	return stamp, signatures, nil
}
