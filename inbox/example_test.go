package inbox_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/inbox"
	"github.com/sluice-go/sluice/producer"
)

// GitHub's own example of a signed body, and a forgery of it.
func Example() {
	ctx := context.Background()
	provider, err := inbox.NewGitHub("It's a Secret to Everybody")
	if err != nil {
		fmt.Println(err)
		return
	}
	var queues mem.Opener
	sink, err := queues.Sink(ctx, "hooks", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := producer.New(sink, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	in, err := inbox.New(provider, p, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("/hooks/github", in)

	for _, body := range []string{"Hello, World!", "Hello, World?"} {
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/hooks/github", strings.NewReader(body))
		r.Header.Set("X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")
		r.Header.Set("X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958")
		r.Header.Set("X-GitHub-Event", "issues")
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}
	// Output:
	// 202
	// 401
}
