package sns

import (
	"crypto/x509"
	"net/http"
	"regexp"
	"time"

	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/setting"
)

// fetchTimeout bounds each request to SNS.
const fetchTimeout = 10 * time.Second

// snsHost matches the hosts that serve SNS's certificates and confirmations.
var snsHost = regexp.MustCompile(`^sns\.[a-z0-9-]{3,32}\.amazonaws\.com(\.cn)?$`)

// Trust is what a [Verifier] trusts. The zero Trust selects the defaults; the fields
// are those of snspush.Config.
type Trust struct {
	// AllowSHA1 accepts signature version 1.
	AllowSHA1 bool
	// MaxAge is the greatest age of a document. Zero means 65 minutes.
	MaxAge time.Duration
	// Client makes the requests to SNS. Nil means one with a timeout of 10 seconds and
	// a new connection for each request. Redirects are not followed.
	Client *http.Client
	// Host reports whether a host is SNS's. Nil accepts sns.REGION.amazonaws.com and
	// sns.REGION.amazonaws.com.cn.
	Host func(host string) bool
	// CertName is the name of signing certificates. Empty means sns.amazonaws.com.
	CertName string
	// Roots are the roots of their chains. Nil trusts the TLS chain of the host that
	// served the certificate.
	Roots *x509.CertPool
}

// complete fills in the defaults and returns the faults.
func (t *Trust) complete() error {
	err := setting.Default("MaxAge", &t.MaxAge, 65*time.Minute)
	if t.CertName == "" {
		t.CertName = "sns.amazonaws.com"
	}
	host := t.Host
	if host == nil {
		host = snsHost.MatchString
	}
	t.Host = func(name string) (is bool) {
		// A Host that panics accepts no host.
		return invoke.DoApart(func() { is = host(name) }) == nil && is
	}
	client := http.Client{Timeout: fetchTimeout}
	if t.Client != nil {
		client = *t.Client
	} else {
		// Requests are rare: a connection kept between them may have died.
		transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert,forbidigo // the standard library's own; the copy is ours
		transport.DisableKeepAlives = true
		client.Transport = transport
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	t.Client = &client
	return err
}
