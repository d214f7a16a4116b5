package console_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/cmd/sluice/internal/console"
	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/all"
	"github.com/sluice-go/sluice/drivers/deadletter"
	"github.com/sluice-go/sluice/drivers/provision"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/handler"
)

// two causes, with numbers in their reasons that differ.
const (
	noStock = `order 17: no stock of "chair"`
	timeout = "POST /charge: timeout after 5s"
)

// dead sends letters of a reason to the dead-letter queue of orders in memory.
func dead(t *testing.T, mux *drivers.Mux, reason string, n int, more map[string]string) {
	t.Helper()
	at := time.Now().Add(-time.Hour)
	for i := range n {
		attributes := map[string]string{
			drivers.AttributeDeadLetterReason:  strings.Replace(reason, "17", fmt.Sprint(i), 1),
			drivers.AttributeDeadLetterAttempt: "5", drivers.AttributeDeadLetterQueue: "orders",
			drivers.AttributeDeadLetterLast: at.Add(time.Duration(i) * time.Second).UTC().Format(time.RFC3339),
			"type":                          "charge",
		}
		for k, v := range more {
			attributes[k] = v
		}
		send(t, mux, "mem://orders-dlq", 1, attributes)
	}
}

// look looks at the letters of orders, and returns the page.
func (s *site) look() string {
	s.t.Helper()
	const page = "/queues/orders/letters"
	require.Equal(s.t, http.StatusSeeOther, s.post(page, page, url.Values{"most": {"10000"}}).StatusCode)
	return s.sees(page, "Causes")
}

// ends waits for the task to which an answer leads, and returns its page.
func (s *site) ends(a answer) string {
	s.t.Helper()
	require.Equal(s.t, http.StatusSeeOther, a.StatusCode, a.body)
	page := a.Header.Get("Location")
	require.Contains(s.t, page, "/tasks/")
	require.Eventually(s.t, func() bool { return strings.Contains(s.get(page).body, "It took") }, time.Minute, 20*time.Millisecond)
	return s.get(page).body
}

func TestLettersByCause(t *testing.T) {
	t.Parallel()
	mux := all.Mux()
	q := memory(t, mux, "orders", 0, 0)
	dead(t, mux, noStock, 30, nil)
	dead(t, mux, timeout, 10, map[string]string{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
	s := open(t, &console.Config{Mux: mux, Queues: []config.Queue{q}, TraceURL: "https://traces.example/{trace_id}#{span_id}"})
	require.Contains(t, s.get("/queues/orders/letters").body, "nothing changes", "an embedded queue is only read")
	body := s.look()
	require.Contains(t, body, "40 letters")
	require.Equal(t, 2, strings.Count(body, "?cause="), "two causes")
	require.NotContains(t, body, "Bring", "the console is read-only")

	for _, c := range []struct {
		query url.Values
		want  int
	}{
		{url.Values{"reason": {"*timeout*"}}, 10},
		{url.Values{"kind": {"charge"}}, 40},
		{url.Values{"kind": {"mail"}}, 0},
		{url.Values{"attr": {"type=charge"}, "reason": {"*stock*"}}, 30},
		{url.Values{"since": {"2h"}}, 40},
		{url.Values{"since": {"1m"}}, 0},
		{url.Values{"until": {"1m"}}, 40},
		{url.Values{"where": {"body.n == 0"}}, 40},
		{url.Values{"where": {"attempts > 5"}}, 0},
	} {
		require.Contains(t, s.get("/queues/orders/letters?"+c.query.Encode()).body, fmt.Sprintf(">%d letters selected<", c.want), c.query)
	}
	for _, wrong := range []string{"attr=x", "since=yesterday", "where=body.", "until=-1h"} {
		require.Contains(t, s.get("/queues/orders/letters?"+wrong).body, "Nothing was selected", wrong)
	}

	list := s.get("/queues/orders/letters?reason=*timeout*").body
	_, rest, _ := strings.Cut(list, `href="/queues/orders/letters/`)
	key, _, _ := strings.Cut(rest, `"`)
	letter := s.get("/queues/orders/letters/" + key).body
	require.Contains(t, letter, timeout)
	require.Contains(t, letter, "&#34;n&#34;: 0", "JSON is indented")
	require.Contains(t, letter, "https://traces.example/0af7651916cd43dd8448eb211c80319c#b7ad6b7169203331")
	require.Equal(t, http.StatusNotFound, s.get("/queues/orders/letters/nothing").StatusCode)
	require.Contains(t, s.get("/audit").body, "looked at dead letters")
}

// A body is shown as what it is, and never as a part of the page.
func TestBodies(t *testing.T) {
	t.Parallel()
	mux := all.Mux()
	q := memory(t, mux, "orders", 0, 0)
	sink, err := mux.OpenSink(t.Context(), "mem://orders-dlq", nil)
	require.NoError(t, err)
	for _, body := range []string{`{"a":[1]}`, `<a><b>1</b></a>`, "plain", "\x00\x01\xff", "", `</pre><script>alert(1)</script>`} {
		require.Empty(t, sink.Send(t.Context(), []*handler.Message{{Body: []byte(body), Attributes: map[string]string{"<b>": "<i>"}}}))
	}
	require.NoError(t, sink.Close())
	s := open(t, &console.Config{Mux: mux, Queues: []config.Queue{q}})
	body := s.look()
	var pages strings.Builder
	for _, part := range strings.Split(body, `href="/queues/orders/letters/`)[1:] {
		key, _, _ := strings.Cut(part, `"`)
		pages.WriteString(s.get("/queues/orders/letters/" + key).body)
	}
	for _, kind := range []string{"JSON", "XML", "text", "binary", "empty"} {
		require.Contains(t, pages.String(), `<span class="note">`+kind+", ")
	}
	require.Contains(t, pages.String(), "&lt;script&gt;alert(1)")
	require.NotContains(t, pages.String(), "<script>alert")
	require.Contains(t, pages.String(), "<code>&lt;b&gt;</code>")
}

func TestBodiesAreHidden(t *testing.T) {
	t.Parallel()
	mux := all.Mux()
	q := memory(t, mux, "orders", 0, 1)
	s := open(t, &console.Config{Mux: mux, Queues: []config.Queue{q}, RedactBodies: true})
	body := s.look()
	_, rest, _ := strings.Cut(body, `href="/queues/orders/letters/`)
	key, _, _ := strings.Cut(rest, `"`)
	letter := s.get("/queues/orders/letters/" + key).body
	require.Contains(t, letter, "Bodies are hidden")
	require.NotContains(t, letter, "&#34;n&#34;")
	require.Contains(t, s.get("/queues/orders/letters?where=body.n+%3D%3D+0").body, ">0 letters selected<", "an expression does not see it")
}

// Looking at letters leases them on SQS: the page says so before it does, and only the form
// does it.
func TestALookSaysThatItLeases(t *testing.T) {
	t.Parallel()
	server, err := sqstest.NewServer(nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	mux, at := all.Mux(), "awssqs:///orders?region=us-east-1&endpoint="+server.URL()
	q := config.Queue{Name: "orders", Source: at, Sink: at, Configured: true, Spec: provision.Spec{Name: "orders", DeadLetter: &provision.DeadLetter{}}}
	_, err = admin.Apply(t.Context(), mux, admin.Target{Name: q.Name, URL: at, Spec: &q.Spec}, false)
	require.NoError(t, err)
	send(t, mux, "awssqs:///orders-dlq?region=us-east-1&endpoint="+server.URL(), 12, nil)
	s := open(t, &console.Config{Mux: mux, Queues: []config.Queue{q}, Write: true})
	require.Contains(t, s.get("/queues/orders/letters").body, "A look leases letters.")
	s.get("/queues/orders/redrive")
	require.Zero(t, server.Count("ReceiveMessage"))
	require.Contains(t, s.look(), "12 letters")
	looked := server.Count("ReceiveMessage")
	require.Positive(t, looked)
	s.get("/queues/orders/letters?reason=*")
	require.Equal(t, looked, server.Count("ReceiveMessage"), "a page shows what the look has brought")

	require.Contains(t, s.ends(s.post("/queues/orders/redrive", "/queues/orders/redrive", url.Values{"confirm": {"orders"}})), "12 brought back")
	require.Equal(t, 1, server.Count("StartMessageMoveTask"), "all of them: the provider moves them")
}

// A dead-letter queue may have one of its own, to which a look could move letters.
func TestALookThatMayMoveLetters(t *testing.T) {
	t.Parallel()
	server, err := sqstest.NewServer(nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	mux := all.Mux()
	at := func(name string) string { return "awssqs:///" + name + "?region=us-east-1&endpoint=" + server.URL() }
	for _, spec := range []provision.Spec{
		{Name: "orders-dlq", DeadLetter: &provision.DeadLetter{Name: "graveyard", MaxAttempts: 2}},
		{Name: "orders", DeadLetter: &provision.DeadLetter{Name: "orders-dlq"}},
	} {
		_, err := admin.Apply(t.Context(), mux, admin.Target{Name: spec.Name, URL: at(spec.Name), Spec: &spec}, true)
		require.NoError(t, err)
	}
	send(t, mux, at("orders-dlq"), 1, nil)
	s := open(t, &console.Config{Mux: mux, Queues: []config.Queue{{Name: "orders", Source: at("orders"), Sink: at("orders")}}, Write: true})
	const page = "/queues/orders/letters"
	require.Contains(t, s.get(page).body, "after 2 deliveries")
	require.Equal(t, http.StatusConflict, s.post(page, page, url.Values{"most": {"100"}}).StatusCode)
	require.Zero(t, server.Count("ReceiveMessage"))
	require.Equal(t, http.StatusSeeOther, s.post(page, page, url.Values{"most": {"100"}, "spend": {"yes"}}).StatusCode)
	s.sees(page, "1 letter of")
	looked := server.Count("ReceiveMessage")
	const discard = "/queues/orders/discard"
	require.Equal(t, http.StatusConflict, s.post(discard, discard, url.Values{"confirm": {"orders"}}).StatusCode)
	require.Equal(t, looked, server.Count("ReceiveMessage"))
	require.Contains(t, s.ends(s.post(discard, discard, url.Values{"confirm": {"orders"}, "spend": {"yes"}})), "1 discarded")

	gone := open(t, &console.Config{Mux: mux, Queues: []config.Queue{{Name: "gone", Source: at("gone")}}})
	require.Contains(t, gone.get("/queues/gone/letters").body, "not found")
	require.NotContains(t, gone.get("/queues/gone/letters").body, "<button class=\"primary\"")
	require.Equal(t, http.StatusBadGateway, gone.post("/doctor", "/queues/gone/letters", url.Values{"most": {"100"}}).StatusCode)

	none := open(t, &console.Config{Mux: mux, Queues: []config.Queue{{Name: "graveyard", Source: at("graveyard")}, {Name: "out", Sink: "mem://out"}}})
	require.Contains(t, none.get("/queues/graveyard/letters").body, "The queue has no dead-letter queue.")
	require.Equal(t, http.StatusConflict, none.post("/doctor", "/queues/graveyard/letters", url.Values{"most": {"100"}}).StatusCode)
	require.Contains(t, none.get("/queues/out/letters").body, "no URL to receive from")
}

func TestLettersAreBroughtBackAndDiscarded(t *testing.T) {
	t.Parallel()
	mux := all.Mux()
	q := memory(t, mux, "orders", 0, 0)
	dead(t, mux, noStock, 6, nil)
	dead(t, mux, timeout, 4, nil)
	s := open(t, &console.Config{Mux: mux, Queues: []config.Queue{q}, Write: true})
	body := s.look()
	_, rest, _ := strings.Cut(body, "?cause=")
	cause, _, _ := strings.Cut(rest, `"`) // the larger one
	at := "/queues/orders/redrive?cause=" + cause
	preview := s.get(at).body
	require.Contains(t, preview, "<strong>6 dead letters</strong>")
	require.Contains(t, preview, "mem://orders")
	for _, path := range []string{"/queues/orders/redrive", "/queues/orders/discard"} {
		wrong := s.get(path + "?group=" + cause) // as the command calls it
		require.Equal(t, http.StatusBadRequest, wrong.StatusCode, "a selection that is not understood is not all letters")
		require.Contains(t, wrong.body, "group")
		require.Equal(t, http.StatusBadRequest, s.post(path, path+"?group="+cause, url.Values{"confirm": {"orders"}}).StatusCode)
	}

	form := func(confirm, chosen string) url.Values {
		return url.Values{"cause": {cause}, "confirm": {confirm}, "chosen": {chosen}}
	}
	six := chosen(t, preview)
	require.Equal(t, http.StatusUnprocessableEntity, s.post(at, "/queues/orders/redrive", form("", six)).StatusCode)
	require.Equal(t, http.StatusUnprocessableEntity, s.post(at, "/queues/orders/redrive", form("order", six)).StatusCode)
	require.Equal(t, http.StatusConflict, s.post(at, "/queues/orders/redrive", form("orders", "5")).StatusCode, "others than those of the preview")
	for _, first := range []string{"x", "0", "-1", "1.5"} {
		f := form("orders", six)
		f.Set("first", first)
		require.Equal(t, http.StatusUnprocessableEntity, s.post(at, "/queues/orders/redrive", f).StatusCode, first)
	}
	require.Contains(t, s.ends(s.post(at, "/queues/orders/redrive", form("orders", six))), "Done: 6 brought back.")
	s.sees("/queues/orders", "<dt>Visible</dt><dd>6</dd>")
	require.Contains(t, s.get("/queues/orders/letters").body, "4 letters")
	require.Contains(t, s.get(at).body, "No letter of the latest look is selected.")

	require.Contains(t, s.ends(s.post("/queues/orders/discard", "/queues/orders/discard", url.Values{"confirm": {"orders"}})), "Done: 4 discarded.")
	s.sees("/queues/orders", "<dt>Dead letters</dt><dd>0</dd>")
	log := s.get("/audit").body
	for _, text := range []string{"brought dead letters back", "6 brought back", "6 letters (cause=", "discarded dead letters", "4 discarded", "loopback"} {
		require.Contains(t, log, text)
		if text != "loopback" {
			require.Contains(t, s.log.String(), text)
		}
	}
}

var chosenInput = regexp.MustCompile(`name="chosen" value="([^"]+)"`)

// chosen returns what stands for the letters of a preview in its form.
func chosen(t *testing.T, preview string) string {
	t.Helper()
	found := chosenInput.FindStringSubmatch(preview)
	require.NotNil(t, found)
	return found[1]
}

// A preview is of certain letters. As many others of the same cause, which another viewer's
// look has brought meanwhile, are not discarded in their place.
func TestOnlyTheLettersOfThePreviewAreDiscarded(t *testing.T) {
	t.Parallel()
	mux := all.Mux()
	q := memory(t, mux, "orders", 0, 0)
	dead(t, mux, noStock, 2, nil)
	s := open(t, &console.Config{Mux: mux, Queues: []config.Queue{q}, Write: true})
	_, rest, _ := strings.Cut(s.look(), "?cause=")
	cause, _, _ := strings.Cut(rest, `"`)
	const discard = "/queues/orders/discard"
	at := discard + "?cause=" + cause
	form := url.Values{"cause": {cause}, "confirm": {"orders"}, "chosen": {chosen(t, s.get(at).body)}}

	require.Contains(t, s.ends(s.post(discard, discard, url.Values{"confirm": {"orders"}})), "Done: 2 discarded.")
	dead(t, mux, noStock, 2, nil)
	s.look()
	s.sees(at, "<strong>2 dead letters</strong>")
	refused := s.post(at, discard, form)
	require.Equal(t, http.StatusConflict, refused.StatusCode, "others than those of the preview")
	form.Set("chosen", chosen(t, refused.body))
	require.Contains(t, s.ends(s.post(at, discard, form)), "Done: 2 discarded.")
}

// Without Write nothing changes, whatever is posted.
func TestAReadOnlyConsoleRefuses(t *testing.T) {
	t.Parallel()
	mux := all.Mux()
	s := open(t, &console.Config{Mux: mux, Queues: []config.Queue{memory(t, mux, "orders", 0, 3)}})
	for _, path := range []string{"/queues/orders/redrive", "/queues/orders/discard"} {
		require.Equal(t, http.StatusForbidden, s.get(path).StatusCode)
		require.Equal(t, http.StatusForbidden, s.post("/doctor", path, url.Values{"confirm": {"orders"}}).StatusCode)
	}
	s.sees("/queues/orders", "<dt>Dead letters</dt><dd>3</dd>")
	require.Contains(t, s.get("/audit").body, "Nothing yet.")
	require.Contains(t, s.log.String(), "the console is read-only")
}

// Letters of a broken handler: the first come back, and the others stay.
func TestTheFirstLettersReturn(t *testing.T) {
	t.Parallel()
	mux := all.Mux()
	q := memory(t, mux, "orders", 0, 0)
	dead(t, mux, noStock, 5, nil)
	s := open(t, &console.Config{Mux: mux, Queues: []config.Queue{q}, Write: true})
	s.look()
	started := s.post("/queues/orders/redrive", "/queues/orders/redrive", url.Values{"confirm": {"orders"}, "first": {"2"}})
	again := s.post("/queues/orders/redrive", "/queues/orders/redrive", url.Values{"confirm": {"orders"}})
	require.Equal(t, http.StatusConflict, again.StatusCode, "one task at a time")
	source, err := q.OpenSource(t.Context(), mux, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, source.Close()) }()
	for returned := 0; returned < 2; {
		ds, err := source.Receive(t.Context(), 10, time.Second)
		require.NoError(t, err)
		for _, d := range ds {
			require.Empty(t, source.Settle(t.Context(), []drivers.Settlement{{Receipt: d.Receipt, Message: d.Message, Action: handler.ActionDeadLetter,
				Failure: &drivers.Failure{Reason: "still broken"}}}))
			returned++
		}
	}
	body := s.ends(started)
	require.Contains(t, body, "2 brought back first, of which")
	require.Contains(t, body, "became dead letters again")
	s.sees("/queues/orders", "<dt>Dead letters</dt><dd>5</dd>")
}

// A task can be stopped.
func TestATaskIsStopped(t *testing.T) {
	t.Parallel()
	mux := all.Mux()
	s := open(t, &console.Config{Mux: mux, Queues: []config.Queue{memory(t, mux, "orders", 0, 3)}, Write: true})
	started := s.post("/queues/orders/redrive", "/queues/orders/redrive", url.Values{"confirm": {"orders"}, "first": {"1"}})
	page := started.Header.Get("Location")
	s.sees(page, "The others follow when these are acked.")
	require.Contains(t, s.get("/").body, page)
	require.Equal(t, http.StatusSeeOther, s.post(page, page, nil).StatusCode)
	require.Contains(t, s.ends(started), "then stopped")
	require.Contains(t, s.get("/audit").body, "stopped a task")
}

// A letter is sent back with another body, and its attributes. A field that the form does not
// have stays as it was.
func TestALetterIsEdited(t *testing.T) {
	t.Parallel()
	mux := all.Mux()
	q := memory(t, mux, "orders", 0, 0)
	dead(t, mux, noStock, 1, map[string]string{"tenant": "acme"})
	s := open(t, &console.Config{Mux: mux, Queues: []config.Queue{q}, Write: true})
	_, rest, _ := strings.Cut(s.look(), `href="/queues/orders/letters/`)
	key, _, _ := strings.Cut(rest, `"`)
	page := "/queues/orders/letters/" + key + "/edit"
	require.Contains(t, s.get("/queues/orders/letters/"+key).body, page)
	require.Contains(t, s.get(page).body, "&#34;n&#34;:0")
	form := url.Values{"body": {"{\r\n  \"n\": 1\r\n}"}}
	require.Equal(t, http.StatusUnprocessableEntity, s.post(page, page, form).StatusCode)
	form.Set("confirm", "orders")
	require.Contains(t, s.ends(s.post(page, page, form)), "brought back with a body of")
	source, err := q.OpenSource(t.Context(), mux, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, source.Close()) }()
	ds, err := source.Receive(t.Context(), 1, time.Second)
	require.NoError(t, err)
	require.Len(t, ds, 1)
	require.Equal(t, "{\n  \"n\": 1\n}", string(ds[0].Message.Body))
	require.Equal(t, "acme", ds[0].Message.Attributes["tenant"])
	require.NoError(t, errors.Join(source.Settle(t.Context(), []drivers.Settlement{{Receipt: ds[0].Receipt, Message: ds[0].Message, Action: handler.ActionAck}})...))
	require.Equal(t, http.StatusNotFound, s.get(page).StatusCode, "it is gone")

	other := open(t, &console.Config{Mux: mux, Queues: []config.Queue{memory(t, mux, "orders", 0, 1)}})
	_, rest, _ = strings.Cut(other.look(), `href="/queues/orders/letters/`)
	key, _, _ = strings.Cut(rest, `"`)
	require.NotContains(t, other.get("/queues/orders/letters/"+key).body, "/edit")
	require.Equal(t, http.StatusForbidden, other.post("/doctor", "/queues/orders/letters/"+key+"/edit", form).StatusCode)
	require.NotContains(t, other.get("/audit").body, "edited")
}

// All of a letter can be changed but the record of its redrives.
func TestTheAttributesOfALetterAreEdited(t *testing.T) {
	t.Parallel()
	mux := all.Mux()
	q := memory(t, mux, "orders", 0, 0)
	dead(t, mux, noStock, 1, map[string]string{"tenant": "acme", "type": "order"})
	s := open(t, &console.Config{Mux: mux, Queues: []config.Queue{q}, Write: true})
	_, rest, _ := strings.Cut(s.look(), `href="/queues/orders/letters/`)
	key, _, _ := strings.Cut(rest, `"`)
	page := "/queues/orders/letters/" + key + "/edit"
	body := s.get(page).body
	require.Contains(t, body, `name="kind" value="order"`)
	require.Contains(t, body, "{\n  &#34;tenant&#34;: &#34;acme&#34;\n}", "neither the kind nor a failure is among the others")
	for attributes, fault := range map[string]string{
		"x": "must be a JSON object", `{"n": 1}`: "must be a JSON object", `{} {}`: "more after it", `{"": "x"}`: "no name",
		`{"type": "x"}`: "own field", `{"` + deadletter.AttributeRedriveCount + `": "0"}`: "is kept",
	} {
		wrong := s.post(page, page, url.Values{"attributes": {attributes}, "confirm": {"orders"}})
		require.Equal(t, http.StatusUnprocessableEntity, wrong.StatusCode, attributes)
		require.Contains(t, wrong.body, fault, attributes)
	}
	s.ends(s.post(page, page, url.Values{"attributes": {`{"tenant": "new", "urgent": ""}`}, "kind": {"refund"}, "group": {"g"}, "confirm": {"orders"}}))
	source, err := q.OpenSource(t.Context(), mux, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, source.Close()) }()
	ds, err := source.Receive(t.Context(), 1, time.Second)
	require.NoError(t, err)
	require.Len(t, ds, 1)
	m := ds[0].Message
	require.NotEmpty(t, m.Attributes[deadletter.AttributeRedriveCount])
	delete(m.Attributes, deadletter.AttributeRedriveCount)
	delete(m.Attributes, deadletter.AttributeRedriveHistory)
	require.Equal(t, map[string]string{"tenant": "new", "urgent": "", "type": "refund"}, m.Attributes)
	require.Equal(t, "g", m.Group)
	require.NoError(t, errors.Join(source.Settle(t.Context(), []drivers.Settlement{{Receipt: ds[0].Receipt, Message: m, Action: handler.ActionAck}})...))
}

// A program without expressions has no field for them, and says so to those who type one.
func TestWithoutExpressions(t *testing.T) {
	t.Parallel()
	mux := all.Mux()
	s := serve(t, &console.Config{Mux: mux, Queues: []config.Queue{memory(t, mux, "orders", 0, 1)}})
	require.NotContains(t, s.look(), "Expression")
	require.Contains(t, s.get("/queues/orders/letters?where=true").body, "sluice_cel")
}
