package protobuf_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sluice-go/sluice/codec/protobuf"
	"github.com/sluice-go/sluice/handler"
)

func TestThereAndBack(t *testing.T) {
	want := timestamppb.New(time.Unix(1795521600, 7))
	var m handler.Message
	require.NoError(t, protobuf.Codec{Deterministic: true}.Encode(&m, want))

	var direct timestamppb.Timestamp
	require.NoError(t, protobuf.Codec{}.Decode(&m, &direct))
	require.True(t, proto.Equal(want, &direct))

	var got *timestamppb.Timestamp
	h := handler.Typed(protobuf.Codec{}, func(_ context.Context, _ *handler.Message, v *timestamppb.Timestamp) error {
		got = v
		return nil
	})
	require.NoError(t, h.Handle(t.Context(), &m))
	require.True(t, proto.Equal(want, got))
}

func TestWhatCannotBe(t *testing.T) {
	var m handler.Message
	require.ErrorContains(t, protobuf.Codec{}.Encode(&m, "text"), "string")
	var s string
	require.ErrorContains(t, protobuf.Codec{}.Decode(&m, &s), "*string")
	var p *string
	require.ErrorContains(t, protobuf.Codec{}.Decode(&m, &p), "**string")
	require.Error(t, protobuf.Codec{}.Decode(&m, nil))

	h := handler.Typed(protobuf.Codec{}, func(context.Context, *handler.Message, *timestamppb.Timestamp) error { return nil })
	err := h.Handle(t.Context(), &handler.Message{Body: []byte{0xff, 0xff}})
	require.Equal(t, handler.ActionDeadLetter, handler.VerdictOf(err).Action, "undecodable is a rejection")
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{8, 1, 16, 2})
	f.Fuzz(func(t *testing.T, body []byte) {
		var v *timestamppb.Timestamp
		if err := (protobuf.Codec{}).Decode(&handler.Message{Body: body}, &v); err != nil {
			return
		}
		var again handler.Message
		require.NoError(t, protobuf.Codec{}.Encode(&again, v))
	})
}

func Example() {
	h := handler.Typed(protobuf.Codec{}, func(_ context.Context, _ *handler.Message, at *timestamppb.Timestamp) error {
		fmt.Println(at.AsTime().UTC())
		return nil
	})
	var m handler.Message
	if err := (protobuf.Codec{}).Encode(&m, timestamppb.New(time.Unix(0, 0))); err != nil {
		panic(err)
	}
	fmt.Println(h.Handle(context.Background(), &m))
	// Output:
	// 1970-01-01 00:00:00 +0000 UTC
	// <nil>
}
