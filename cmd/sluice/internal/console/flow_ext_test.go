package console_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/cmd/sluice/internal/console"
	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/all"
	"github.com/sluice-go/sluice/handler"
)

// click clicks the first element of a selector. It goes by a script, since a part of the
// page may be refreshed between finding an element and clicking it.
func (b *tab) click(selector string) {
	b.t.Helper()
	b.waits(fmt.Sprintf("document.querySelector(%q)", selector))
	b.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf("document.querySelector(%q).click()", selector)))
}

// link clicks the link or the button with a text.
func (b *tab) link(text string) {
	b.t.Helper()
	b.waits(fmt.Sprintf(`[...document.querySelectorAll("main a, main button")].some(e => e.innerText.includes(%q))`, text))
	b.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`[...document.querySelectorAll("main a, main button")].find(e => e.innerText.includes(%q))?.click()`, text)))
}

// An operator brings the letters of one cause back, and watches.
func TestFromLettersToNone(t *testing.T) {
	t.Parallel()
	mux := all.Mux()
	q := memory(t, mux, "orders", 0, 0)
	dead(t, mux, noStock, 25, nil)
	dead(t, mux, timeout, 15, map[string]string{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tenant": "acme",
		"sluice-redrive-count": "1", "sluice-redrive-history": `[{"reason":"POST /charge: 503","attempt":5,"last_failed":"2026-11-28T10:00:00Z","consumer":"worker-3"}]`})
	s := open(t, &console.Config{Mux: mux, Every: time.Second, Queues: []config.Queue{q}, Write: true, TraceURL: "https://traces.example.com/{trace_id}"})
	b := s.browse(t)
	s.sees("/", "40")
	b.open("/")
	b.click("td.bad a")
	b.at("/queues/orders/letters")
	b.link("Look at the letters")
	b.has("40 letters")
	b.has("Causes")
	require.Equal(t, 2, eval[int](b, `document.querySelectorAll('a[href*="cause="]').length`))
	b.shoot("letters")

	b.link("timeout after") // the group
	b.has("15 letters selected")
	b.click("a[href*='/letters/']")
	b.has("Earlier failures")
	b.shoot("letter")
	b.link("Edit and bring back")
	b.has("will be sent back to orders as it is below")
	b.shoot("edit")
	b.do(chromedp.NavigateBack(), chromedp.NavigateBack())
	b.has("15 letters selected")
	b.link("Bring these back")
	b.at("/queues/orders/redrive")
	b.has("15 dead letters of orders will be brought back")
	b.shoot("redrive")
	b.do(chromedp.SendKeys(chromedp.CSS("#confirm"), "order"))
	b.link("Bring back 15")
	b.waits(`document.querySelector(".problem")?.innerText.includes("type the name of the queue: orders")`)
	b.do(chromedp.SendKeys(chromedp.CSS("#confirm"), "orders"), chromedp.SendKeys(chromedp.CSS("#first"), "2"))
	b.link("Bring back 15")
	b.has("The others follow when these are acked.")
	b.shoot("task")

	source, err := q.OpenSource(t.Context(), mux, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, source.Close()) }()
	ack := func(n int) {
		for n > 0 {
			ds, err := source.Receive(t.Context(), 10, time.Second)
			require.NoError(t, err)
			for _, d := range ds {
				require.Empty(t, source.Settle(t.Context(), []drivers.Settlement{{Receipt: d.Receipt, Message: d.Message, Action: handler.ActionAck}}))
				n--
			}
		}
	}
	ack(2)
	b.has("Done: 15 brought back.")
	ack(13)

	b.link("Dead letters")
	b.has("25 letters")
	b.link("Discard letters")
	b.has("All dead letters, 25 at the last count, of orders will be deleted.")
	b.do(chromedp.SendKeys(chromedp.CSS("#confirm"), "orders"))
	b.link("Discard all")
	b.has("Done: 25 discarded.")
	b.open("/queues/orders")
	b.waits(`[...document.querySelectorAll(".numbers dd")].every(e => ["0", "0s"].includes(e.innerText))`)
	b.open("/audit")
	b.has("brought dead letters back")
	b.shoot("audit")
}

// A page elsewhere cannot have a browser post to the console.
func TestAForgedFormInABrowser(t *testing.T) {
	t.Parallel()
	mux := all.Mux()
	s := open(t, &console.Config{Mux: mux, Every: time.Second, Queues: []config.Queue{memory(t, mux, "orders", 0, 3)}, Write: true})
	evil := open(t, &console.Config{Mux: mux}) // another origin
	b := s.browse(t)
	b.open("/queues/orders/redrive") // its session begins
	token := eval[string](b, `document.querySelector("[name=csrf]").value`)
	evil.page = func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprintf(w, `<main><form method="post" action="%s/queues/orders/redrive"><input name="confirm" value="orders"><input name="csrf" value="%s"></form></main>`, s.url, token)
	}
	b.do(chromedp.Navigate(evil.url+"/evil"), chromedp.WaitReady(chromedp.CSS("form")))
	b.do(chromedp.Evaluate[chromedp.Void](`document.forms[0].submit()`))
	b.waits(fmt.Sprintf(`location.origin === %q && document.body.innerText.includes("not this console's")`, s.url))
	s.sees("/queues/orders", "<dt>Dead letters</dt><dd>3</dd>")
}

// In a read-only console the page of an action refuses, and there is no way to it.
func TestAReadOnlyConsoleInABrowser(t *testing.T) {
	t.Parallel()
	mux := all.Mux()
	s := open(t, &console.Config{Mux: mux, Every: time.Second, Queues: []config.Queue{memory(t, mux, "orders", 0, 3)}})
	b := s.browse(t)
	b.open("/queues/orders/letters")
	b.link("Look at the letters")
	b.has("3 letters")
	require.Zero(t, eval[int](b, `document.querySelectorAll('a[href*="redrive"], a[href*="discard"]').length`))
	b.open("/queues/orders/redrive")
	b.has("This console is read-only.")
	require.Equal(t, http.StatusForbidden, eval[int](b, `fetch("/queues/orders/redrive", {method: "POST", body: new URLSearchParams({confirm: "orders"})}).then(r => r.status)`))
}

// Many letters stay usable.
func TestManyLetters(t *testing.T) {
	t.Parallel()
	many := 50_000
	if testing.Short() { // under the race detector, beside others
		many = 5_000
	}
	mux := all.Mux()
	q := memory(t, mux, "orders", 0, 0)
	sink, err := mux.OpenSink(t.Context(), "mem://orders-dlq", nil)
	require.NoError(t, err)
	most := max(sink.Capabilities().MaxSend, 1)
	for i := 0; i < many; i += most {
		ms := make([]*handler.Message, 0, most)
		for j := i; j < min(i+most, many); j++ {
			ms = append(ms, &handler.Message{Body: []byte("{}"), Attributes: map[string]string{
				drivers.AttributeDeadLetterReason: fmt.Sprintf("cause %c: order %d", 'a'+rune(j%20), j), drivers.AttributeDeadLetterAttempt: "3"}})
		}
		require.Empty(t, sink.Send(t.Context(), ms))
	}
	require.NoError(t, sink.Close())
	s := open(t, &console.Config{Mux: mux, Every: time.Second, Queues: []config.Queue{q}, Write: true})
	b := s.browse(t)
	b.open("/queues/orders/letters")
	b.do(chromedp.SetValue(chromedp.CSS("#most"), "100000"))
	began := time.Now()
	b.link("Look at the letters")
	b.has(fmt.Sprintf("%d letters of", many))
	looked := time.Since(began)
	began = time.Now()
	b.open(fmt.Sprintf("/queues/orders/letters?page=%d", many/200))
	b.has(fmt.Sprintf("page %d of %d", many/200, many/100))
	require.Less(t, time.Since(began), 5*time.Second)
	t.Logf("%d letters: read in %v, a page in %v", many, looked.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	b.open("/queues/orders/letters?reason=cause+c*")
	b.has(fmt.Sprintf("%d letters selected", many/20))
	b.link("Bring these back")
	b.has(fmt.Sprintf("%d dead letters", many/20))
	b.do(chromedp.SendKeys(chromedp.CSS("#confirm"), "orders"))
	b.link(fmt.Sprintf("Bring back %d", many/20))
	b.has(fmt.Sprintf("Done: %d brought back.", many/20))
}
