// A TLS server on Go's own library, for the tests: it answers every request with what it knows of the connection.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"runtime"
	"strings"
)

func main() {
	version := flag.Bool("version", false, "say the version and end")
	listen := flag.String("listen", "", "address")
	chain := flag.String("chain", "", "certificate chain")
	key := flag.String("key", "", "private key")
	groups := flag.String("groups", "", "P-256, P-384, X25519, by commas")
	only12 := flag.Bool("tls12", false, "TLS 1.2 alone")
	clients := flag.String("clients", "", "authority of client certificates, which are then asked for")
	stamps := flag.Bool("stamps", false, "show certificate timestamps")
	flag.Parse()
	if *version {
		fmt.Println(runtime.Version())
		return
	}
	certificate, err := tls.LoadX509KeyPair(*chain, *key)
	if err != nil {
		log.Fatal(err)
	}
	if *stamps {
		certificate.SignedCertificateTimestamps = [][]byte{[]byte("one timestamp"), []byte("and another")}
	}
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"http/1.1"}}
	if *only12 {
		config.MaxVersion = tls.VersionTLS12
	}
	named := map[string]tls.CurveID{"P-256": tls.CurveP256, "P-384": tls.CurveP384, "X25519": tls.X25519}
	for _, name := range strings.Split(*groups, ",") {
		if name != "" {
			config.CurvePreferences = append(config.CurvePreferences, named[name])
		}
	}
	if *clients != "" {
		pem, err := os.ReadFile(*clients)
		if err != nil {
			log.Fatal(err)
		}
		config.ClientCAs = x509.NewCertPool()
		config.ClientCAs.AppendCertsFromPEM(pem)
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	handler := func(w http.ResponseWriter, r *http.Request) {
		state := r.TLS
		fmt.Fprintf(w, "%s resumed=%v clients=%d\n", versions[state.Version], state.DidResume, len(state.PeerCertificates))
	}
	server := &http.Server{Addr: *listen, TLSConfig: config, Handler: http.HandlerFunc(handler)}
	log.Fatal(server.ListenAndServeTLS("", ""))
}

var versions = map[uint16]string{tls.VersionTLS12: "TLSv1.2", tls.VersionTLS13: "TLSv1.3"}
