package payment

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/producer"
)

// Sender is the part of a producer.Producer that the endpoint needs.
type Sender interface {
	Send(ctx context.Context, ms ...*handler.Message) error
}

// maxBody bounds a request: a payment is small.
const maxBody = 16 << 10

// Endpoint returns the HTTP handler that takes payments: POST /payments with a
// Payment as JSON. It answers 202 as soon as the queue has the payment, 400 to
// one that can never be charged, 429 while the queue is overloaded and 503 when
// the queue cannot be reached; after 429 and 503 the client posts again, with
// the same ID.
func Endpoint(queue Sender) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /payments", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			refuse(w, http.StatusRequestEntityTooLarge, err)
			return
		}
		var p Payment
		if err := json.Unmarshal(body, &p); err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		if err := p.Validate(); err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		err = queue.Send(r.Context(), &handler.Message{Body: body, DedupeID: p.ID})
		switch {
		case errors.Is(err, producer.ErrOverloaded):
			w.Header().Set("Retry-After", "5")
			refuse(w, http.StatusTooManyRequests, producer.ErrOverloaded)
		case err != nil:
			w.Header().Set("Retry-After", "1")
			refuse(w, http.StatusServiceUnavailable, errors.New("the payment could not be queued: post it again"))
		default:
			w.WriteHeader(http.StatusAccepted)
		}
	})
	return mux
}

func refuse(w http.ResponseWriter, status int, err error) {
	http.Error(w, err.Error(), status)
}
