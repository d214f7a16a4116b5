package inbox

import (
	"context"
	"errors"
	"net/http"

	"github.com/sluice-go/sluice/handler/webhook"
)

var (
	// ErrSignature is in the error of a request that is not signed as it should be, or
	// that is too old. It is answered with 401. It is [webhook.ErrSignature].
	ErrSignature = webhook.ErrSignature

	// ErrUnavailable is in the error of a request that could not be verified for the
	// moment. It is answered with 503.
	ErrUnavailable = errors.New("the request can't be verified at the moment")
)

// A Provider verifies the requests of one kind of sender.
type Provider interface {
	// Read verifies a request by its header and its raw body and returns its event. It
	// may block until ctx is done. It must not keep or change header and body. The
	// error has [ErrSignature] in it if the request is not authentic and
	// [ErrUnavailable] if that could not be found out; any other error means that the
	// request is authentic and not an event. No error has a secret or a part of the body
	// in it: errors are logged. Read is called concurrently.
	Read(ctx context.Context, header http.Header, body []byte) (*Event, error)
}
