package consumer;

import org.springframework.context.annotation.Bean;
import org.springframework.security.oauth2.core.OAuth2TokenValidator;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.jwt.JwtTypeValidator;

/** The bean that docs/tokens.md adds for Spring. */
class Documented {
  @Bean
  OAuth2TokenValidator<Jwt> accessTokens() {
    return new JwtTypeValidator("at+jwt");
  }
}
