package watermill_test

import (
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/bridge/watermill"
	"github.com/sluice-go/sluice/handler"
)

// Metadata's names are compared byte by byte: names that read alike stay apart.
// The UUID is its sender's by nature.
func TestNamesStayApart(t *testing.T) {
	in := map[string]string{
		"sns-topic-arn": "true", "sns_topic_arn": "forged", "SNS-Topic-Arn": "forged", "\u017fns-topic-arn": "forged", "sns-topic-arn ": "forged",
		"x\nsns-topic-arn": "forged", "_WATERMILL_MESSAGE_UUID": "forged", "": "forged",
	}
	var got *message.Message
	h, err := watermill.NewHandler(func(m *message.Message) error { got = m; return nil })
	require.NoError(t, err)
	m := &handler.Message{ID: "7", Attributes: in}
	require.NoError(t, h.Handle(t.Context(), m))
	require.Equal(t, message.Metadata(in), got.Metadata)
	require.Equal(t, "7", got.UUID)
	got.Metadata["sns-topic-arn"] = "changed"
	require.Equal(t, "true", m.Attributes["sns-topic-arn"], "the message itself stays as it came")
}
