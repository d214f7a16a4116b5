package cloudevents_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/codec/cloudevents"
	"github.com/sluice-go/sluice/handler"
)

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func order(t testing.TB) event.Event {
	t.Helper()
	e := event.New()
	e.SetID("1234 ünïcode 日本 \"%41\"")
	e.SetSource("/shop/orders")
	e.SetType("com.example.order.created")
	e.SetSubject("order ✓ 7")
	e.SetTime(time.Date(2026, 4, 5, 17, 31, 0, 123456000, time.UTC))
	require.NoError(t, e.SetData(event.ApplicationJSON, map[string]int{"cents": 500}))
	return e
}

// with returns the order with what f does to it.
func with(t testing.TB, f func(e *event.Event)) event.Event {
	e := order(t)
	f(&e)
	return e
}

func events(t testing.TB) map[string]event.Event {
	minimal := event.New()
	minimal.SetID("1")
	minimal.SetSource("s")
	minimal.SetType("t")
	return map[string]event.Event{
		"order":      order(t),
		"minimal":    minimal,
		"extensions": with(t, func(e *event.Event) { e.SetExtension("region", "eu ✓%20"); e.SetExtension("empty", "") }),
		"binary data": with(t, func(e *event.Event) {
			require.NoError(t, e.SetData("application/octet-stream", []byte{0, 255, 254, 'a'}))
		}),
		"text": with(t, func(e *event.Event) { require.NoError(t, e.SetData("text/plain; charset=utf-8", "quoted \"ä\"\n")) }),
		"JSON that is none": with(t, func(e *event.Event) {
			e.DataEncoded, e.DataBase64 = []byte("{broken"), false
		}),
		"schema": with(t, func(e *event.Event) { e.SetDataSchema("https://example.com/order.json") }),
		"many": with(t, func(e *event.Event) {
			for i := range 12 {
				e.SetExtension(fmt.Sprintf("ext%d", i), fmt.Sprint(i))
			}
		}),
		"long": with(t, func(e *event.Event) { e.SetSubject(strings.Repeat("ß", 1000)) }),
	}
}

func same(t testing.TB, want, got event.Event) {
	t.Helper()
	require.Equal(t, want.Context.AsV1().Extensions, got.Context.AsV1().Extensions)
	require.Equal(t, []string{want.ID(), want.Source(), want.Type(), want.Subject(), want.DataContentType(), want.DataSchema()},
		[]string{got.ID(), got.Source(), got.Type(), got.Subject(), got.DataContentType(), got.DataSchema()})
	require.True(t, want.Time().Equal(got.Time()), "%v is not %v", want.Time(), got.Time())
	require.True(t, bytes.Equal(want.Data(), got.Data()), "%q is not %q", want.Data(), got.Data())
}

func TestRoundTrip(t *testing.T) {
	for name, e := range events(t) {
		for _, mode := range []cloudevents.Mode{cloudevents.Auto, cloudevents.Structured, cloudevents.Binary} {
			t.Run(name+"/"+mode.String(), func(t *testing.T) {
				m := &handler.Message{Attributes: map[string]string{"tenant": "t1", "ce-old": "x", "content-type": "text/html"}}
				err := cloudevents.Codec(mode).Encode(m, e)
				if mode == cloudevents.Binary && name == "many" {
					require.ErrorContains(t, err, "more than the 10 of SQS: use Auto or Structured")
					require.Equal(t, "text/html", m.Attribute("content-type"), "a refused event changed the message")
					return
				}
				require.NoError(t, err)
				require.LessOrEqual(t, len(m.Attributes), 10)
				require.Equal(t, "t1", m.Attribute("tenant"))
				require.NotContains(t, m.Attributes, "ce-old")
				isStructured := mode == cloudevents.Structured || mode == cloudevents.Auto && (name == "many" || name == "long")
				require.Equal(t, isStructured, m.Attribute("Content-Type") == "application/cloudevents+json")
				var got event.Event
				require.NoError(t, cloudevents.Codec(cloudevents.Auto).Decode(m, &got))
				same(t, e, got)
				var pointer *event.Event
				require.NoError(t, cloudevents.Codec(mode).Decode(m, &pointer))
				same(t, e, *pointer)
			})
		}
	}
}

func TestTraceContextIsTheMessagesToo(t *testing.T) {
	e := with(t, func(e *event.Event) { e.SetExtension("traceparent", parent); e.SetExtension("tracestate", "a=b") })
	for _, mode := range []cloudevents.Mode{cloudevents.Structured, cloudevents.Auto} {
		m := &handler.Message{}
		require.NoError(t, cloudevents.Codec(mode).Encode(m, e))
		require.Equal(t, parent, m.Attribute("traceparent"))
		var got event.Event
		require.NoError(t, cloudevents.Codec(mode).Decode(m, &got))
		same(t, e, got)

		// The hop's own stays the message's, the event's its own.
		const hop = "00-0af7651916cd43dd8448eb211c80319c-aaaaaaaaaaaaaaaa-01"
		m = &handler.Message{Attributes: map[string]string{"traceparent": hop}}
		require.NoError(t, cloudevents.Codec(mode).Encode(m, e))
		require.Equal(t, hop, m.Attribute("traceparent"))
		require.NoError(t, cloudevents.Codec(mode).Decode(m, &got))
		require.Equal(t, parent, got.Extensions()["traceparent"])
	}
	m := &handler.Message{}
	require.NoError(t, cloudevents.Codec(cloudevents.Structured).Encode(m, order(t)))
	m.SetAttribute("traceparent", parent)
	var got event.Event
	require.NoError(t, cloudevents.Codec(cloudevents.Structured).Decode(m, &got))
	require.Equal(t, parent, got.Extensions()["traceparent"])
}

func TestWhatIsNoEventIsRejected(t *testing.T) {
	const sound = `{"specversion":"1.0","id":"1","source":"s","type":"t"}`
	ce := func(more ...string) map[string]string {
		as := map[string]string{"ce-specversion": "1.0", "ce-id": "1", "ce-source": "s", "ce-type": "t"}
		for i := 0; i < len(more); i += 2 {
			as[more[i]] = more[i+1]
		}
		return as
	}
	typ := func(s string) map[string]string { return map[string]string{"content-type": s} }
	h := handler.Typed(cloudevents.Codec(cloudevents.Auto), func(context.Context, *handler.Message, event.Event) error { return nil })
	require.NoError(t, h.Handle(t.Context(), &handler.Message{Attributes: ce()}))
	require.NoError(t, h.Handle(t.Context(), &handler.Message{Body: []byte(sound), Attributes: typ("Application/CloudEvents+json; charset=utf-8")}))
	for _, c := range []struct {
		name, body string
		attributes map[string]string
		says       string
	}{
		{"plain message", sound, nil, "no CloudEvent"},
		{"JSON", sound, typ("application/json"), "no CloudEvent"},
		{"batch", "[" + sound + "]", typ("application/cloudevents-batch+json"), "batched mode"},
		{"array as one event", "[" + sound + "]", typ("application/cloudevents+json"), "structured CloudEvent"},
		{"other format", sound, typ("application/cloudevents+avro"), "unknown CloudEvents format"},
		{"format that begins like ours", sound, typ("application/cloudevents+jsonx"), "unknown CloudEvents format"},
		{"version 0.3", `{"specversion":"0.3","id":"1","source":"s","type":"t"}`, typ("application/cloudevents+json"), "only 1.0"},
		{"binary version", "", ce("ce-specversion", "9"), "only 1.0"},
		{"no id", `{"specversion":"1.0","source":"s","type":"t"}`, typ("application/cloudevents+json"), "id"},
		{"binary without id", "", ce("ce-id", ""), "id"},
		{"no type", "", ce("ce-type", ""), "type"},
		{"no version", `{"id":"1","source":"s","type":"t"}`, typ("application/cloudevents+json"), "specversion"},
		{"bad time", "", ce("ce-time", "yesterday"), "time"},
		{"bad extension name", "", ce("ce-under_score", "x"), "under_score"},
		{"the same in two cases", "", ce("CE-ID", "2"), "twice"},
		{"two content types", sound, map[string]string{"content-type": "application/cloudevents+json", "Content-Type": "text/plain"}, "twice"},
		{"cut", sound[:20], typ("application/cloudevents+json"), "structured"},
		{"empty", "", typ("application/cloudevents+json"), "structured"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := h.Handle(t.Context(), &handler.Message{ID: "7", Body: []byte(c.body), Attributes: c.attributes})
			require.Equal(t, handler.ActionDeadLetter, handler.VerdictOf(err).Action, "%v", err)
			require.ErrorContains(t, err, c.says)
		})
	}
}

func TestWhatCannotBeEncodedIsRefused(t *testing.T) {
	old := event.New("0.3")
	for name, v := range map[string]any{
		"nothing": nil, "text": "x", "nil pointer": (*event.Event)(nil), "empty": event.Event{}, "incomplete": event.New(), "version 0.3": old,
		"not UTF-8":        with(t, func(e *event.Event) { e.SetSubject("\xff") }),
		"an event as data": with(t, func(e *event.Event) { e.SetDataContentType("application/cloudevents+json") }),
	} {
		t.Run(name, func(t *testing.T) {
			m := &handler.Message{}
			require.Error(t, cloudevents.Codec(cloudevents.Binary).Encode(m, v))
			require.Equal(t, &handler.Message{}, m)
		})
	}
	require.Error(t, cloudevents.Codec(7).Encode(&handler.Message{}, order(t)))
	require.ErrorContains(t, cloudevents.Codec(0).Decode(&handler.Message{}, new(string)), "*string")
}

func TestTyped(t *testing.T) {
	type data struct{ Cents int }
	var got data
	h := cloudevents.Typed(func(_ context.Context, e event.Event, d data) error {
		require.Equal(t, "com.example.order.created", e.Type())
		got = d
		return nil
	})
	m := &handler.Message{}
	require.NoError(t, cloudevents.Codec(cloudevents.Auto).Encode(m, order(t)))
	require.NoError(t, h.Handle(t.Context(), m))
	require.Equal(t, data{500}, got)

	for name, body := range map[string]string{"no data": "", "another shape": `{"Cents":"x"}`, "broken": "{", "null": "null"} {
		m.Body = []byte(body)
		err := h.Handle(t.Context(), m)
		require.Equal(t, handler.ActionDeadLetter, handler.VerdictOf(err).Action, name)
		require.ErrorContains(t, err, "com.example.order.created")
	}
	require.ErrorContains(t, h.Handle(t.Context(), &handler.Message{}), "the message has no CloudEvent")
}

func FuzzDecode(f *testing.F) {
	for _, mode := range []cloudevents.Mode{cloudevents.Structured, cloudevents.Binary} {
		var m handler.Message
		require.NoError(f, cloudevents.Codec(mode).Encode(&m, order(f)))
		f.Add(m.Body, m.Attribute("Content-Type"), m.Attribute("ce-specversion"), "subject", "x")
	}
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"AP8="}`), "application/cloudevents+json", "", "", "")
	f.Add([]byte(`[]`), "application/cloudevents-batch+json", "1.0", "time", "2026-01-01T00:00:00Z")
	f.Fuzz(func(t *testing.T, body []byte, content, version, name, value string) {
		m := &handler.Message{Body: body, Attributes: map[string]string{"Content-Type": content}}
		if version != "" {
			m.Attributes["ce-id"], m.Attributes["ce-source"], m.Attributes["ce-type"] = "1", "s", "t"
			m.Attributes["ce-"+name] = value
			m.Attributes["ce-specversion"] = version
		}
		before := bytes.Clone(body)
		var e event.Event
		err := cloudevents.Codec(cloudevents.Auto).Decode(m, &e)
		require.True(t, bytes.Equal(before, body), "decoding changed the body")
		if err != nil {
			return
		}
		require.NoError(t, e.Validate())
		var again handler.Message
		if cloudevents.Codec(cloudevents.Auto).Encode(&again, e) != nil {
			return // what is not UTF-8 comes in and goes no further
		}
		var got event.Event
		require.NoError(t, cloudevents.Codec(cloudevents.Auto).Decode(&again, &got))
		require.Equal(t, e.ID(), got.ID())
		require.Equal(t, e.Type(), got.Type())
	})
}

func BenchmarkCodec(b *testing.B) {
	e := order(b)
	for _, mode := range []cloudevents.Mode{cloudevents.Structured, cloudevents.Binary} {
		codec := cloudevents.Codec(mode)
		b.Run("encode/"+mode.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := codec.Encode(&handler.Message{}, e); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("decode/"+mode.String(), func(b *testing.B) {
			var m handler.Message
			require.NoError(b, codec.Encode(&m, e))
			b.ReportAllocs()
			for b.Loop() {
				var got event.Event
				if err := codec.Decode(&m, &got); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestTypedOfNothingIsRefused(t *testing.T) {
	t.Parallel()
	require.ErrorContains(t, handler.Check(cloudevents.Typed[int](nil)), "the handler is nil")
}
