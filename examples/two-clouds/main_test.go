package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/internal/test/command"
	"github.com/sluice-go/sluice/internal/test/testserver"
)

const want = `charged  order-01: 100 cents for acme, attempt 1
charged  order-02: 200 cents for acme, attempt 1
charged  order-03: 300 cents for acme, attempt 1
charged  order-04: 400 cents for acme, attempt 2
charged  order-05: 500 cents for acme, attempt 1
charged  order-06: 600 cents for acme, attempt 1
charged  order-07: 700 cents for acme, attempt 1
charged  order-08: 800 cents for acme, attempt 1
charged  order-09: 900 cents for acme, attempt 2
charged  order-10: 1000 cents for acme, attempt 1
letter   half an ord: rejected: decode message ID: invalid character 'h' looking for beginning of value, attempt 1
letter   {"id":"order-00","cents":0}: rejected: order-00: an order that costs nothing, attempt 1
`

func TestMain(m *testing.M) { os.Exit(command.Main(m.Run)) }

// The same program, handler and configuration print the same on both clouds:
// only the overlay differs.
func TestBothCloudsGiveTheSame(t *testing.T) {
	onSQS, err := sqstest.NewServer(nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, onSQS.Close()) })
	onPubSub, err := pubsubtest.Start("")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, onPubSub.Close()) })
	testserver.Credentials(t)
	t.Setenv("AWS_ENDPOINT_URL", onSQS.URL())
	t.Setenv("PUBSUB_EMULATOR_HOST", onPubSub.Addr())

	outputs := make(map[string]string)
	for _, overlay := range []string{"aws.yaml", "gcp.yaml"} {
		apply := exec.CommandContext(t.Context(), "sluice", "apply", "--config", "sluice.yaml", "--config", overlay)
		said, err := apply.CombinedOutput()
		require.NoError(t, err, "%s: %s", overlay, said)
		var out bytes.Buffer
		require.NoError(t, run(t.Context(), []string{"sluice.yaml", overlay}, &out), overlay)
		outputs[overlay] = out.String()
	}
	require.Equal(t, outputs["aws.yaml"], outputs["gcp.yaml"])
	require.Equal(t, want, outputs["aws.yaml"])
	require.NotZero(t, onSQS.Count("SendMessageBatch"), "it went by SQS")
}

func TestAFaultInTheConfigurationIsTold(t *testing.T) {
	require.ErrorContains(t, run(t.Context(), []string{"sluice.yaml"}, io.Discard), "the queue has no URL")
}
