package webhook_test

import (
	"fmt"
	"net/http"
	"time"

	"github.com/sluice-go/sluice/handler/webhook"
)

func Example() {
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	body := []byte(`{"test": 2432232314}`)

	signer, err := webhook.NewSigner(secret)
	if err != nil {
		fmt.Println(err)
		return
	}
	h := http.Header{}
	if err := signer.Sign(h, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Now(), body); err != nil {
		fmt.Println(err)
		return
	}

	verifier, err := webhook.NewVerifier([]string{secret}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(verifier.Verify(h, body))
	fmt.Println(verifier.Verify(h, []byte(`{"test": 2432232315}`)))
	// Output:
	// msg_p5jXN8AQM9LWM0D4loKWxJek <nil>
	//  webhook signature: it does not match
}
