package httphandler_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/httphandler"
)

func Example() {
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Printf("%s of %s: %s\n", r.Header.Get("Sluice-Message-Id"), r.Header.Get("Sluice-Attr-Tenant"), body)
		if string(body) == "later" {
			w.Header().Set("Retry-After", "30")
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer endpoint.Close()
	h, err := httphandler.New(endpoint.URL, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer h.Close()
	for i, body := range []string{"now", "later"} {
		m := &handler.Message{ID: fmt.Sprint("m-", i), Body: []byte(body), Attributes: map[string]string{"tenant": "acme"}}
		fmt.Println(h.Handle(context.Background(), m))
	}
	// Output:
	// m-0 of acme: now
	// <nil>
	// m-1 of acme: later
	// retry after 30s: HTTP status 503 Service Unavailable
}
