package webhook

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/webhook"
	"github.com/sluice-go/sluice/producer"
)

// Sender is the part of a producer.Producer that the endpoint needs.
type Sender interface {
	Send(ctx context.Context, ms ...*handler.Message) error
}

// AttributeType is the message attribute with the event's content type. A handler
// that posts messages on (package httphandler) sends it as the header.
const AttributeType = "content-type"

// maxBody bounds an event; with its headers it must fit into a message.
const maxBody = 200 << 10

// Endpoint returns the HTTP handler that takes events: POST to any path. It
// answers 202 when the queue has the event, 401 to one that is not signed as it
// should be, 429 while the queue is overloaded and 503 when it cannot be
// reached; the sender then sends again.
func Endpoint(v *webhook.Verifier, queue Sender) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
			return
		}
		id, err := v.Verify(r.Header, body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		m := &handler.Message{Body: body, DedupeID: id}
		if t := r.Header.Get("Content-Type"); t != "" {
			m.SetAttribute(AttributeType, t)
		}
		switch err := queue.Send(r.Context(), m); {
		case errors.Is(err, producer.ErrOverloaded):
			w.Header().Set("Retry-After", "30")
			http.Error(w, producer.ErrOverloaded.Error(), http.StatusTooManyRequests)
		case err != nil:
			http.Error(w, "the event could not be queued: send it again", http.StatusServiceUnavailable)
		default:
			w.WriteHeader(http.StatusAccepted)
		}
	})
	return mux
}
