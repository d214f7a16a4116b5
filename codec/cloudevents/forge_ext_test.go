package cloudevents_test

import (
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/codec/cloudevents"
	"github.com/sluice-go/sluice/handler"
)

// Names fold in ASCII only. One that is there twice is refused, since readers
// would differ about which it is.
func TestNamesThatFold(t *testing.T) {
	for name, refused := range map[string]bool{
		"ce-ID": true, "CE-id": true, "Ce-Type": true, "CE-SOURCE": true, "Content-Type": true,
		"ce-\u0130d": true, "ce-\u017fource": true, "ce-id ": true, "ce-id\x00": true, "ce-i\u200bd": true, // no names of attributes
		"ce_id": false, "ce.id": false, "id": false, "HTTP_CE_ID": false, "ce\u2010id": false,
	} {
		m := &handler.Message{Body: []byte("{}"), Attributes: map[string]string{
			"ce-id": "true", "ce-source": "/true", "ce-type": "true", "ce-specversion": "1.0", "content-type": "application/json", name: "forged",
		}}
		var e event.Event
		err := cloudevents.Codec(cloudevents.Binary).Decode(m, &e)
		if refused {
			require.Error(t, err, "%q", name)
			continue
		}
		require.NoError(t, err, "%q", name)
		require.Equal(t, []string{"true", "/true", "true"}, []string{e.ID(), e.Source(), e.Type()}, "%q", name)
	}
	var e event.Event
	require.Error(t, cloudevents.Codec(cloudevents.Binary).Decode(&handler.Message{Body: []byte("{}"), Attributes: map[string]string{
		"ce-\u0130d": "forged", "ce-source": "/true", "ce-type": "true", "ce-specversion": "1.0",
	}}, &e), "it has no id, but by Unicode's rules")
}
