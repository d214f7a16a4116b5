package snspush_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/sluice-go/sluice/consumer/snspush"
	"github.com/sluice-go/sluice/handler"
)

// A request that SNS did not sign is refused.
func Example() {
	h := handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
		fmt.Println("order", string(m.Body))
		return nil
	})
	endpoint, err := snspush.New(h, []string{"arn:aws:sns:eu-west-1:123456789012:orders"}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("POST /sns", endpoint)

	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/sns", strings.NewReader(`{"Type":"Notification"}`)))
	fmt.Println(w.Code)
	// Output: 403
}
