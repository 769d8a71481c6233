// Checks a live token server with go-oidc. Prints a line per check, `ok TEXT` or `not ok TEXT`.
// hack/consumers.sh starts it.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

var failures = 0

func check(text string, err error, refused bool) {
	word := "ok"
	if (err != nil) != refused {
		word = "not ok"
		failures++
		text = fmt.Sprintf("%s (%v)", text, err)
	}
	fmt.Printf("%s %s: %s\n", word, os.Getenv("ALGORITHM"), text)
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	issuer, token := os.Getenv("ISSUER"), os.Getenv("ACCESS_TOKEN")
	provider, err := oidc.NewProvider(ctx, issuer)
	check("go-oidc discovers", err, false)
	if err != nil {
		os.Exit(1)
	}
	verified, err := provider.Verifier(&oidc.Config{ClientID: issuer}).Verify(ctx, token)
	check("go-oidc verifies the token", err, false)
	if err == nil {
		var claims struct{ Roles []string }
		err = verified.Claims(&claims)
		if err == nil && len(claims.Roles) != 2 {
			err = fmt.Errorf("roles %v", claims.Roles)
		}
		check("go-oidc reads the roles", err, false)
	}
	_, err = provider.Verifier(&oidc.Config{ClientID: "other"}).Verify(ctx, token)
	check("go-oidc refuses the token for another audience", err, true)
	behind := func() time.Time { return time.Now().Add(-4 * time.Second) }
	_, err = provider.Verifier(&oidc.Config{ClientID: issuer, Now: behind}).Verify(ctx, token)
	check("go-oidc accepts the token with a clock 4 s behind", err, false)
	if failures > 0 {
		os.Exit(1)
	}
}
