package inbox

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/setting"
	"github.com/sluice-go/sluice/internal/sns"
)

// SNSConfig configures [NewSNS]. The zero SNSConfig has the defaults. The fields are
// those of snspush.Config, which has more about them.
type SNSConfig struct {
	// AllowSHA1 accepts signature version 1, which SNS uses unless the topic's
	// SignatureVersion is 2. False refuses it.
	AllowSHA1 bool
	// MaxAge is the greatest age of a notification. Zero means 65 minutes: SNS retries a
	// delivery by HTTPS for an hour at most.
	MaxAge time.Duration
	// Client makes the requests to SNS. Redirects are not followed. Nil means a client
	// with a timeout of 10 seconds.
	Client *http.Client
	// Host reports whether a host, with its port if any, is SNS's. Nil accepts
	// sns.REGION.amazonaws.com and sns.REGION.amazonaws.com.cn.
	Host func(host string) bool
	// CertName is the name that signing certificates must be for. Empty means
	// sns.amazonaws.com.
	CertName string
	// Roots are the roots in which the signing certificate's chain must end. Nil trusts
	// the TLS chain of the host that served the certificate.
	Roots *x509.CertPool
	// ManualConfirm leaves subscriptions unconfirmed.
	ManualConfirm bool
	// Logger receives the confirmations and ends of subscriptions. Nil means
	// slog.Default().
	Logger *slog.Logger
}

type snsProvider struct {
	verifier *sns.Verifier
	manual   bool
	log      *slog.Logger
}

var _ Provider = (*snsProvider)(nil)

// NewSNS returns the [Provider] of Amazon SNS subscriptions by HTTP or HTTPS to the topics
// with the given ARNs, at least one. A nil config has the defaults.
//
// It confirms the subscription of a declared topic by a request to a host of SNS. Requests
// for other topics are refused, also to confirm a subscription. Raw deliveries are not
// signed and are refused.
func NewSNS(topicARNs []string, config *SNSConfig) (Provider, error) {
	c := setting.Copy(config)
	v, err := sns.NewVerifier(topicARNs, sns.Trust{
		AllowSHA1: c.AllowSHA1, MaxAge: c.MaxAge, Client: c.Client, Host: c.Host, CertName: c.CertName, Roots: c.Roots,
	})
	if err != nil {
		return nil, fmt.Errorf("inbox: SNS: %w", err)
	}
	return &snsProvider{verifier: v, manual: c.ManualConfirm, log: invoke.Logger(c.Logger)}, nil
}

// Read implements [Provider].
func (s *snsProvider) Read(ctx context.Context, header http.Header, body []byte) (*Event, error) {
	if header.Get("X-Amz-Sns-Rawdelivery") == "true" {
		return nil, fmt.Errorf("%w: raw deliveries are not signed: switch RawMessageDelivery off", ErrSignature)
	}
	var d sns.Document
	if json.Unmarshal(body, &d) != nil {
		return nil, fmt.Errorf("%w: the body is not SNS's JSON", ErrSignature)
	}
	if err := s.sort(s.verifier.Check(ctx, &d)); err != nil {
		return nil, err
	}
	switch {
	case d.Type == sns.TypeNotification:
		return &Event{ID: d.MessageID}, nil
	case d.Type == sns.TypeUnsubscription:
		// Visiting its URL would subscribe again.
		s.log.WarnContext(ctx, "SNS subscription ended", "topic", d.TopicARN)
	case s.manual:
		s.log.WarnContext(ctx, "SNS subscription awaits its confirmation", "topic", d.TopicARN)
	default:
		if err := s.sort(s.verifier.Confirm(ctx, &d)); err != nil {
			return nil, err
		}
		s.log.InfoContext(ctx, "SNS subscription confirmed", "topic", d.TopicARN)
	}
	return &Event{ID: d.MessageID, Handshake: true}, nil
}

// sort marks an error as [ErrUnavailable] or [ErrSignature].
func (s *snsProvider) sort(err error) error {
	switch {
	case err == nil:
		return nil
	case invoke.Is(err, sns.ErrUnreachable):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	default:
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
}
