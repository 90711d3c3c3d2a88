// Google's in-memory Pub/Sub fake (pstest) on a port of its own, for integration tests.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"cloud.google.com/go/pubsub/v2/pstest"
)

func main() {
	port := flag.Int("port", 8085, "port")
	flag.Parse()
	// Redelivery is tested: nobody wants to wait ten seconds for it.
	pstest.SetMinAckDeadline(time.Second)
	server := pstest.NewServerWithPort(*port)
	fmt.Println("pstest listening on", server.Addr)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	<-stop
	server.Close()
}
