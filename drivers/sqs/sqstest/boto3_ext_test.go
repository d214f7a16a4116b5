package sqstest_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/test/testserver"
)

func TestBoto3(t *testing.T) {
	python := testserver.Python(t)
	e := overHTTP(t, nil)
	testserver.Credentials(t)
	cmd := exec.CommandContext(t.Context(), python, filepath.Join("testdata", "client.py"))
	cmd.Env = append(os.Environ(), e.Env()...)
	out, err := cmd.Output()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		require.FailNow(t, "the client failed", "%s", exit.Stderr)
	}
	require.NoError(t, err)
	var codes map[string]string
	require.NoError(t, json.Unmarshal(out, &codes), "%s", out)
	require.Equal(t, map[string]string{
		"missing":   "QueueDoesNotExist AWS.SimpleQueueService.NonExistentQueue",
		"exists":    "QueueNameExists QueueAlreadyExists",
		"content":   "InvalidMessageContents InvalidMessageContents",
		"surrogate": "InvalidMessageContents InvalidMessageContents",
		"empty":     "EmptyBatchRequest AWS.SimpleQueueService.EmptyBatchRequest",
		"receipt":   "ReceiptHandleIsInvalid ReceiptHandleIsInvalid",
		"wait":      "ClientError InvalidParameterValue",
		"task":      "ResourceNotFoundException ResourceNotFoundException",
		"purge":     "PurgeQueueInProgress AWS.SimpleQueueService.PurgeQueueInProgress",
	}, codes)
}
