package testserver

import (
	"context"
	_ "embed" // for the pinned lists
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/sluice-go/sluice/internal/install"
	"github.com/sluice-go/sluice/internal/process"
	"github.com/sluice-go/sluice/localstack"
)

//go:embed elasticmq/pom.xml
var elasticMQPOM []byte

//go:embed moto/requirements.txt
var motoRequirements []byte

// The kinds hold the servers that the tests of this binary share.
var (
	localStackKind = &kind{name: "LocalStack", env: EnvLocalStack, slow: true, prepare: prepareLocalStack(nil)}
	elasticMQKind  = &kind{name: "ElasticMQ", env: EnvElasticMQ, slow: true, prepare: prepareElasticMQ}
	dynamoDBKind   = &kind{name: "DynamoDB (moto)", env: EnvDynamoDB, slow: true, prepare: prepareDynamoDB}
)

// LocalStack returns a LocalStack with at least the named services (none means
// sqs), and sets the environment variables by which the AWS SDK finds
// credentials and a region. It does not set AWS_ENDPOINT_URL.
func LocalStack(t testing.TB, services ...string) *Server {
	t.Helper()
	s := localStackKind.get(t)
	Credentials(t)
	if len(services) == 0 {
		services = []string{"sqs"}
	}
	if err := serves(t.Context(), s.URL, services); err != nil {
		unavailable(t, s.name, err)
	}
	return s
}

// ElasticMQ returns an ElasticMQ, and sets what [LocalStack] sets.
func ElasticMQ(t testing.TB) *Server {
	t.Helper()
	Credentials(t)
	return elasticMQKind.get(t)
}

// DynamoDB returns a server that has DynamoDB's API (moto), and sets what
// [LocalStack] sets.
func DynamoDB(t testing.TB) *Server {
	t.Helper()
	Credentials(t)
	return dynamoDBKind.get(t)
}

// OwnDynamoDB returns a server with DynamoDB's API of the test's own.
func OwnDynamoDB(t testing.TB) *Server {
	t.Helper()
	Credentials(t)
	return dynamoDBKind.own(t)
}

// Python returns the path of a Python interpreter that has boto3.
func Python(t testing.TB) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), installTimeout)
	defer cancel()
	python, err := localstack.Install(ctx)
	if err != nil {
		unavailable(t, "Python with boto3", err)
	}
	return python
}

// Credentials sets the environment variables by which the AWS SDKs find
// credentials and a region, and keeps them from looking elsewhere. They stay set
// until this process ends, unless the test has set them by [testing.T.Setenv]
// before, so that parallel tests can use what calls it.
func Credentials(t testing.TB) {
	t.Helper()
	for _, v := range []struct{ name, value string }{
		{"AWS_ACCESS_KEY_ID", "test"},
		{"AWS_SECRET_ACCESS_KEY", "test"},
		{"AWS_REGION", "us-east-1"},
		{"AWS_CONFIG_FILE", os.DevNull},
		{"AWS_SHARED_CREDENTIALS_FILE", os.DevNull},
		{"AWS_EC2_METADATA_DISABLED", "true"},
	} {
		if os.Getenv(v.name) == v.value {
			continue
		}
		if err := os.Setenv(v.name, v.value); err != nil { //nolint:usetesting // parallel tests must not call t.Setenv
			t.Fatal(err)
		}
	}
	for _, name := range []string{"AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"} {
		// boto3 takes an empty profile for one.
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
}

func prepareLocalStack(services []string) func(context.Context) (*recipe, error) {
	return func(ctx context.Context) (*recipe, error) {
		python, err := localstack.Install(ctx)
		if err != nil {
			return nil, err
		}
		port, err := process.FreePort()
		if err != nil {
			return nil, err
		}
		dir, err := os.MkdirTemp("", "sluice-localstack-")
		if err != nil {
			return nil, err
		}
		url := fmt.Sprintf("http://127.0.0.1:%d", port)
		args, env := localstack.Command(python, dir, port, services)
		return inDir(url, process.Spec{
			Name: "LocalStack", Dir: dir, Args: args, Env: env, Port: port,
			Healthy: process.HTTP(url + "/_localstack/health"),
		}), nil
	}
}

func prepareElasticMQ(ctx context.Context) (*recipe, error) {
	java, err := exec.LookPath("java")
	if err != nil {
		return nil, errors.New("no Java (java) on the PATH")
	}
	lib, err := install.Maven(ctx, "elasticmq", elasticMQPOM)
	if err != nil {
		return nil, err
	}
	port, err := process.FreePort()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "sluice-elasticmq-")
	if err != nil {
		return nil, err
	}
	url := fmt.Sprintf("http://127.0.0.1:%d", port)
	config := filepath.Join(dir, "elasticmq.conf")
	text := fmt.Sprintf(`include classpath("application.conf")
node-address { protocol = http, host = "127.0.0.1", port = %d, context-path = "" }
rest-sqs { enabled = true, bind-hostname = "127.0.0.1", bind-port = %d, sqs-limits = strict }
rest-stats { enabled = false }
`, port, port)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return inDir(url, process.Spec{
		Name: "ElasticMQ", Dir: dir,
		Args: []string{java, "-Xmx768m", "-XX:+UseParallelGC", "-Dconfig.file=" + config, "-cp", filepath.Join(lib, "*"),
			"org.elasticmq.server.Main"},
		Healthy: process.HTTP(url + "/?Action=ListQueues&Version=2012-11-05"),
	}), nil
}

func prepareDynamoDB(ctx context.Context) (*recipe, error) {
	python, err := install.Python(ctx, "moto", motoRequirements)
	if err != nil {
		return nil, err
	}
	port, err := process.FreePort()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "sluice-moto-")
	if err != nil {
		return nil, err
	}
	url := fmt.Sprintf("http://127.0.0.1:%d", port)
	return inDir(url, process.Spec{
		Name: "moto", Dir: dir,
		Args:    []string{python, "-m", "moto.server", "-H", "127.0.0.1", "-p", fmt.Sprint(port)},
		Env:     []string{"TMPDIR=" + dir},
		Healthy: process.HTTP(url + "/moto-api/data.json"),
	}), nil
}

// inDir returns the recipe of a server that keeps its data in its directory.
func inDir(url string, spec process.Spec) *recipe {
	spec.RemoveDir = true
	return &recipe{url: url, spec: spec}
}
