package consumer;

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.Map;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.context.ConfigurableApplicationContext;

/**
 * Checks a live token server with Spring Security. Prints a line per check, `ok TEXT` or `not ok TEXT`.
 * hack/consumers.sh starts it.
 */
public final class Consumer {
  private static final String ISSUER = System.getenv("ISSUER");
  private static final String TOKEN = System.getenv("ACCESS_TOKEN");
  private static int failures;

  public static void main(String[] arguments) throws Exception {
    answers("Spring refuses the type at+jwt by `issuer-uri` alone", TOKEN, ISSUER, 401, Application.class);
    Class<?>[] documented = {Application.class, Documented.class};
    answers("Spring accepts the token with the bean of docs/tokens.md", TOKEN, ISSUER, 200, documented);
    answers("Spring refuses the token for another audience", TOKEN, "other", 401, documented);
    String[] parts = TOKEN.split("\\.");
    String end = parts[2].startsWith("A") ? "B" : "A";
    String forged = parts[0] + "." + parts[1] + "." + end + parts[2].substring(1);
    answers("Spring refuses the token with another signature", forged, ISSUER, 401, documented);
    System.exit(failures == 0 ? 0 : 1);
  }

  private static void answers(
      String text, String token, String audience, int status, Class<?>... sources) throws Exception {
    Map<String, Object> settings =
        Map.of(
            "server.port", 0,
            "server.address", "127.0.0.1",
            "spring.main.banner-mode", "off",
            "logging.level.root", "off",
            "spring.security.oauth2.resourceserver.jwt.issuer-uri", ISSUER,
            "spring.security.oauth2.resourceserver.jwt.audiences", audience);
    var application = new SpringApplicationBuilder(sources).properties(settings);
    int answered;
    try (ConfigurableApplicationContext context = application.run()) {
      String port = context.getEnvironment().getProperty("local.server.port");
      var request =
          HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port + "/"))
              .header("Authorization", "Bearer " + token);
      answered = HttpClient.newHttpClient().send(request.build(), BodyHandlers.ofString()).statusCode();
    }
    boolean holds = answered == status;
    failures += holds ? 0 : 1;
    String detail = holds ? "" : " (" + answered + ")";
    System.out.println((holds ? "ok " : "not ok ") + System.getenv("ALGORITHM") + ": " + text + detail);
  }
}
