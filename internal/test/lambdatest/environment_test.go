package lambdatest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/stretchr/testify/require"
)

const asFunction = "LAMBDATEST_FUNCTION"

func TestMain(m *testing.M) {
	if os.Getenv(asFunction) != "" {
		lambda.Start(function) // does not return
	}
	os.Exit(m.Run())
}

type request struct{ Do string }

// function does what the request says.
func function(ctx context.Context, r request) (string, error) {
	switch r.Do {
	case "fail":
		return "", errors.New("as it was told")
	case "panic":
		panic("as it was told")
	case "exit":
		os.Exit(3)
	case "hang":
		<-make(chan struct{})
	}
	deadline, _ := ctx.Deadline()
	lc, _ := lambdacontext.FromContext(ctx)
	return fmt.Sprintf("%s %t %s", lambdacontext.LogStreamName, time.Until(deadline) > 0, lc.InvokedFunctionArn), nil
}

func TestEnvironment(t *testing.T) {
	e, err := New(Config{Timeout: 10 * time.Second, Command: func() *exec.Cmd {
		cmd := exec.Command(os.Args[0], "-test.run=^$") //nolint:noctx // Close ends it
		cmd.Env = append(os.Environ(), asFunction+"=1")
		cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
		return cmd
	}})
	require.NoError(t, err)
	t.Cleanup(e.Close)
	ask := func(do string) (string, error) {
		out, err := e.Invoke(t.Context(), fmt.Appendf(nil, `{"Do":%q}`, do))
		return string(out), err
	}
	works := func(process int) {
		t.Helper()
		out, err := ask("work")
		require.NoError(t, err)
		require.JSONEq(t, fmt.Sprintf(`"stream-%d true %s"`, process, FunctionARN), out)
		require.Equal(t, process, e.Starts())
	}
	require.False(t, e.Kill(), "there is nothing to kill")
	works(1)
	works(1)

	_, err = ask("fail")
	var failure *FunctionError
	require.ErrorAs(t, err, &failure)
	require.Equal(t, "as it was told", failure.Message)
	works(1)

	_, err = ask("panic") // the runtime reports it, and then ends the process
	require.ErrorAs(t, err, &failure)
	<-e.process.done
	works(2)

	_, err = ask("exit")
	require.ErrorIs(t, err, ErrExited)
	works(3)

	require.True(t, e.Kill())
	<-e.process.done
	works(4)

	e.config.Timeout = time.Second
	_, err = ask("hang")
	require.ErrorIs(t, err, ErrTimeout)
	e.config.Timeout = 10 * time.Second
	works(5)

	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err = e.Invoke(ctx, []byte(`{"Do":"hang"}`))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	works(6)
}
