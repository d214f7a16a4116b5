package handler_test

import (
	"context"
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
)

type order struct {
	ID    string `json:"id"`
	Cents int    `json:"cents"`
}

func TestTypedHandsOverTheValueAndTheVerdict(t *testing.T) {
	h := handler.Typed(nil, func(_ context.Context, m *handler.Message, o order) error {
		require.Equal(t, "7", m.ID)
		require.Equal(t, order{"a", 500}, o)
		return errBoom
	})
	err := h.Handle(t.Context(), &handler.Message{ID: "7", Body: []byte(`{"id":"a","cents":500}`)})
	require.Same(t, errBoom, err)
}

func TestTypedRejectsWhatCannotBeDecoded(t *testing.T) {
	h := handler.Typed(handler.JSON, func(context.Context, *handler.Message, order) error {
		t.Error("handled a message that cannot be decoded")
		return nil
	})
	for name, body := range map[string]string{
		"empty": "", "cut": `{"id":"a"`, "wrong type": `{"cents":"many"}`, "trailing": `{} {}`, "NUL": "\x00", "not JSON": "<html>",
	} {
		t.Run(name, func(t *testing.T) {
			err := h.Handle(t.Context(), &handler.Message{ID: "7", Body: []byte(body)})
			require.Equal(t, handler.ActionDeadLetter, handler.VerdictOf(err).Action)
			require.ErrorContains(t, err, `decode message "7"`)
		})
	}
	err := h.Handle(t.Context(), &handler.Message{Body: []byte(`{"cents":"many"}`)})
	var cause *json.UnmarshalTypeError
	require.ErrorAs(t, err, &cause)
}

func TestNullIsNoValue(t *testing.T) {
	m := &handler.Message{Body: []byte(" null\n")}
	ran := 0
	for name, h := range map[string]handler.Handler{
		"struct": handler.Typed(nil, func(context.Context, *handler.Message, order) error { ran++; return nil }),
		"int":    handler.Typed(nil, func(context.Context, *handler.Message, int) error { ran++; return nil }),
		"string": handler.Typed(nil, func(context.Context, *handler.Message, string) error { ran++; return nil }),
	} {
		err := h.Handle(t.Context(), m)
		require.Equal(t, handler.ActionDeadLetter, handler.VerdictOf(err).Action, name)
		require.ErrorContains(t, err, "null")
	}
	require.Zero(t, ran)
	for name, h := range map[string]handler.Handler{
		"pointer":   handler.Typed(nil, func(_ context.Context, _ *handler.Message, o *order) error { require.Nil(t, o); return nil }),
		"slice":     handler.Typed(nil, func(_ context.Context, _ *handler.Message, o []order) error { require.Nil(t, o); return nil }),
		"map":       handler.Typed(nil, func(_ context.Context, _ *handler.Message, o map[string]int) error { require.Nil(t, o); return nil }),
		"interface": handler.Typed(nil, func(_ context.Context, _ *handler.Message, o any) error { require.Nil(t, o); return nil }),
	} {
		require.NoError(t, h.Handle(t.Context(), m), name)
	}
}

func TestTypedTakesAnyCodecAndAnyType(t *testing.T) {
	var got any
	text := handler.Typed(handler.Raw, func(_ context.Context, _ *handler.Message, s string) error { got = s; return nil })
	require.NoError(t, text.Handle(t.Context(), &handler.Message{Body: []byte("x")}))
	require.Equal(t, "x", got)
	pointer := handler.Typed(nil, func(_ context.Context, _ *handler.Message, o *order) error { got = o; return nil })
	require.NoError(t, pointer.Handle(t.Context(), &handler.Message{Body: []byte(`{"id":"b"}`)}))
	require.Equal(t, &order{ID: "b"}, got)
	wrong := handler.Typed(handler.Raw, func(context.Context, *handler.Message, int) error { return nil })
	require.ErrorContains(t, wrong.Handle(t.Context(), &handler.Message{}), "*int")
}

func TestCodecsRoundTrip(t *testing.T) {
	var m handler.Message
	require.NoError(t, handler.JSON.Encode(&m, order{"a", 5}))
	require.JSONEq(t, `{"id":"a","cents":5}`, string(m.Body))
	var o order
	require.NoError(t, handler.JSON.Decode(&m, &o))
	require.Equal(t, order{"a", 5}, o)
	require.Error(t, handler.JSON.Encode(&m, math.NaN()))

	for _, v := range []any{"\x00\xff text", []byte{0, 255}} {
		require.NoError(t, handler.Raw.Encode(&m, v))
		var s string
		var b []byte
		require.NoError(t, handler.Raw.Decode(&m, &s))
		require.NoError(t, handler.Raw.Decode(&m, &b))
		require.Equal(t, s, string(b))
		require.Equal(t, m.Body, b)
	}
	require.ErrorContains(t, handler.Raw.Encode(&m, 5), "not int")
	require.ErrorContains(t, handler.Raw.Decode(&m, new(int)), "not *int")
}
