package pubsubpush_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/sluice-go/sluice/consumer/pubsubpush"
	"github.com/sluice-go/sluice/handler"
)

// On a developer's machine there are no tokens: Insecure. In production, name the
// audience and the service account of the subscription's push config instead.
func Example() {
	h := handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
		fmt.Printf("order: %s\n", m.Body)
		return nil
	})
	endpoint, err := pubsubpush.New(h, &pubsubpush.Config{Insecure: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	push := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/push", strings.NewReader(
		`{"message":{"data":"b25lIGNvZmZlZQ==","messageId":"1"},"subscription":"projects/shop/subscriptions/orders"}`))
	answer := httptest.NewRecorder()
	endpoint.ServeHTTP(answer, push)
	fmt.Println(answer.Code)
	// Output:
	// order: one coffee
	// 204
}
