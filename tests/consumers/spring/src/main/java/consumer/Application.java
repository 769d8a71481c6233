package consumer;

import org.springframework.boot.SpringBootConfiguration;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.security.core.Authentication;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

/** A resource server that Spring Boot configures from `issuer-uri` and `audiences`. */
@SpringBootConfiguration
@EnableAutoConfiguration
@RestController
class Application {
  @GetMapping("/")
  String whoAmI(Authentication caller) {
    return caller.getName();
  }
}
