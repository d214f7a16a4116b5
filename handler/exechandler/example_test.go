//go:build unix

package exechandler_test

import (
	"context"
	"fmt"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/exechandler"
)

func Example() {
	words, err := exechandler.Split(`sh -c 'test "$(cat)" = good || { echo "no such order" >&2; exit 65; }'`)
	if err != nil {
		fmt.Println(err)
		return
	}
	h, err := exechandler.New(words, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, body := range []string{"good", "bad"} {
		fmt.Println(h.Handle(context.Background(), &handler.Message{Body: []byte(body)}))
	}
	// Output:
	// <nil>
	// rejected: sh: exit status 65: no such order
}

func ExampleNewPool() {
	const worker = `while read -r line; do
		case $line in
		*good*) echo '{"verdict":"ack"}' ;;
		*) echo '{"verdict":"retry","after":"30s","error":"busy"}' ;;
		esac
	done`
	p, err := exechandler.NewPool([]string{"sh", "-c", worker}, &exechandler.PoolConfig{Workers: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	for _, body := range []string{"good", "bad"} {
		fmt.Println(p.Handle(context.Background(), &handler.Message{Body: []byte(body)}))
	}
	// Output:
	// <nil>
	// retry after 30s: busy
}
