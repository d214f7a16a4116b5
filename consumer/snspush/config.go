package snspush

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net/http"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/setting"
	"github.com/sluice-go/sluice/internal/sns"
)

// Config configures an [Endpoint]. The zero Config selects the defaults.
type Config struct {
	// AllowSHA1 accepts signature version 1, which SNS uses unless the topic's
	// SignatureVersion is 2. False refuses it.
	AllowSHA1 bool
	// MaxAge is the greatest age of a notification; older ones are refused for
	// good, which bounds replays. A replay within MaxAge is a duplicate like those
	// that SNS itself delivers. Zero means 65 minutes: SNS retries a delivery by
	// HTTPS for an hour at most.
	MaxAge time.Duration
	// MaxBytes is the size of the largest request body. Zero means 2 MiB.
	MaxBytes int64
	// Client makes the requests to SNS, for certificates and confirmations, and
	// must validate the server's TLS certificate chain and host name. Its
	// CheckRedirect is not used: redirects are not followed. Nil means a client
	// with a timeout of 10 seconds and a new connection for each request.
	Client *http.Client
	// Host reports whether a host, with its port if any, is SNS's. Nil accepts
	// sns.REGION.amazonaws.com and sns.REGION.amazonaws.com.cn.
	Host func(host string) bool
	// CertName is the name that signing certificates must be for. Empty means
	// sns.amazonaws.com. Regions in China and GovCloud have their own.
	CertName string
	// Roots are the roots in which the signing certificate's chain must end; the
	// certificate's file must then contain the intermediates. Nil trusts the TLS
	// chain of the host that served the certificate, like AWS's SDKs, since SNS
	// serves it alone.
	Roots *x509.CertPool
	// ManualConfirm leaves subscriptions unconfirmed: the request is logged,
	// without its token, and answered with 200.
	ManualConfirm bool
	// DeadLetter takes rejected messages; if it returns nil they are acked. Nil
	// means that a rejection is logged as an error and answered with 500, so that
	// SNS retries it and finally sends it to the subscription's own dead-letter
	// queue.
	DeadLetter func(ctx context.Context, m *handler.Message, reason error) error
	// Logger receives refusals, confirmations and rejections, but never a body.
	// Nil means slog.Default().
	Logger *slog.Logger
}

// complete returns a copy of c with its defaults, and its faults.
func (c *Config) complete() (Config, error) {
	d := setting.Copy(c)
	err := setting.Default("MaxBytes", &d.MaxBytes, 2<<20)
	d.Logger = invoke.Logger(d.Logger)
	return d, err
}

// trust returns the part of c that says whom to trust.
func (c *Config) trust() sns.Trust {
	return sns.Trust{AllowSHA1: c.AllowSHA1, MaxAge: c.MaxAge, Client: c.Client, Host: c.Host, CertName: c.CertName, Roots: c.Roots}
}
