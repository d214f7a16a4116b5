package inbox

import (
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sluice-go/sluice/internal/attribute"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/setting"
)

// Config configures an [Inbox]. The zero Config has the defaults.
type Config struct {
	// MaxBytes is the size of the largest request body. Zero means 1 MiB. The queue's
	// own limit counts too; a claim check in the producer raises that.
	MaxBytes int64

	// MaxInFlight bounds the requests that are served concurrently, and with MaxBytes
	// the memory that senders can make the program use before they are known. Further
	// ones are answered with 429. Zero means 256.
	MaxInFlight int

	// Timeout bounds the time in which a request is verified and its event queued. Zero
	// means 2.5 seconds: Slack waits for three. It does not bound the reading of the
	// request; http.Server's ReadTimeout does.
	Timeout time.Duration

	// RetryAfter is the value of the header Retry-After in answers 429 and 503, in whole
	// seconds. Zero means 30 seconds.
	RetryAfter time.Duration

	// Headers are names of request headers that become attributes of the message, under
	// their names in lower case: X-Shopify-Shop-Domain, for example. No provider but
	// Standard Webhooks signs any header. SQS carries ten attributes.
	Headers []string

	// Namespace keeps the identities of this Inbox's events apart from those of another
	// Inbox that sends to the same queue. Senders choose their IDs, and an event whose
	// identity another sender has used already is a duplicate to the queue's handlers. The
	// dedupe ID is then the namespace, a colon and the event's ID. It has up to 64 visible
	// ASCII characters and no colon. Empty means that the event's ID is the dedupe ID.
	Namespace string

	// Logger receives refusals and failures, never a body. Nil means slog.Default().
	Logger *slog.Logger
}

// complete returns a copy of c with its defaults, and its faults.
func (c *Config) complete() (Config, error) {
	d := setting.Copy(c)
	faults := []error{
		setting.Default("MaxBytes", &d.MaxBytes, 1<<20),
		setting.Default("MaxInFlight", &d.MaxInFlight, 256),
		setting.Default("Timeout", &d.Timeout, 2500*time.Millisecond),
		setting.Default("RetryAfter", &d.RetryAfter, 30*time.Second),
	}
	if d.Namespace != "" {
		faults = append(faults, setting.Refuse(!plain(d.Namespace, maxNamespace) || strings.Contains(d.Namespace, ":"),
			"Namespace is %.80q: it must have up to %d visible ASCII characters and no colon", d.Namespace, maxNamespace))
	}
	d.Headers = slices.Clone(d.Headers)
	secret := []string{"Authorization", "Proxy-Authorization", "Cookie"}
	for i, name := range d.Headers {
		d.Headers[i] = http.CanonicalHeaderKey(name)
		lower := strings.ToLower(name)
		faults = append(faults,
			setting.Refuse(name == "", "Headers[%d] is empty", i),
			setting.Refuse(slices.Contains(secret, d.Headers[i]), "Headers: %s has credentials in it", name),
			setting.Refuse(attribute.Reserved(lower) || attribute.LookAlike(lower) || lower == AttributeType,
				"Headers: %s would be an attribute that only the framework sets", name),
		)
	}
	d.Logger = invoke.Logger(d.Logger)
	return d, errors.Join(faults...)
}
